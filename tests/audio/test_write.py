import pytest

from twistream_kit.audio.clip import replacing, ulaw_header


def test_header_is_58_bytes():
    assert len(ulaw_header(0)) == len(ulaw_header(33680)) == 58


def test_payload_beyond_the_size_of_a_wav_file_is_refused():
    ulaw_header(0xFFFFFFFF - 58)
    with pytest.raises(ValueError, match="too many for a WAV file"):
        ulaw_header(0xFFFFFFFF)


def test_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new.wav"
    with replacing(path) as file:
        file.write(b"half")
        assert not path.exists()
    assert path.read_bytes() == b"half"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_nothing_is_left_after_an_exception(tmp_path, error):
    with pytest.raises(error), replacing(tmp_path / "new.wav") as file:
        file.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []
