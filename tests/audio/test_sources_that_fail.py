"""Sources that become shorter, pipes and devices, and what libraries print by themselves."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from twistream_kit.audio._libsndfile import discard_c_messages
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.convert import convert_file
from twistream_kit.audio.examine import examine
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.review import review
from twistream_kit.errors import TwistreamError, WavError

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have no names here")
WAVE = 0.5 * np.sin(np.arange(200_000) / 5)


class Shrinking(io.FileIO):
    """A file that loses its second half once half of it was read."""

    n_read = 0

    def read(self, size=-1, /):
        raw = super().read(size)
        self.n_read += len(raw)
        whole = os.fstat(self.fileno()).st_size
        if self.n_read > whole // 2 > 0:
            os.truncate(self.name, whole // 2)
            self.n_read = -(1 << 40)
        return raw


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "ULAW"), ("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("AIFF", None)]
)
@pytest.mark.parametrize("read", [load_clip, examine])
def test_a_source_that_becomes_shorter_meanwhile_is_an_error(form, subtype, read, tmp_path):
    path = tmp_path / "source.wav"
    soundfile.write(path, WAVE, 8000, format=form, subtype=subtype)
    with Shrinking(path) as file, pytest.raises(WavError, match="became shorter while it was read"):
        read(file)


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_no_file_is_made_of_a_source_that_becomes_shorter(subtype, tmp_path):
    source, target = tmp_path / "source.wav", tmp_path / "target.wav"
    soundfile.write(source, WAVE, 8000, subtype=subtype)
    with pytest.raises(WavError, match="became shorter"):
        convert_file(source, target, progress=lambda _done: os.truncate(source, 100_000))
    assert not target.exists()


@posix
@pytest.mark.parametrize("read", [load_clip, inspect_wav, examine, Capture.load, review])
def test_a_pipe_is_refused_before_it_is_opened(read, tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    with pytest.raises(TwistreamError, match="is a pipe, not a file") as caught:
        read(pipe)
    assert caught.value.fix
    with pytest.raises(TwistreamError, match="is a device, not a file"):
        read(Path(os.devnull))


@posix
def test_a_pipe_that_was_opened_is_read_to_its_end(tmp_path):
    pipe, clip = tmp_path / "pipe.wav", Clip.tone(440, 0.1)
    os.mkfifo(pipe)
    raw = clip.save(tmp_path / "clip.wav").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(raw,))
    writer.start()
    with pipe.open("rb") as file:
        assert load_clip(file.read()).payload == clip.payload
    writer.join()


DAMAGED_MP3 = """
import io, sys, numpy, soundfile
import twistream_kit as kit
file = io.BytesIO()
soundfile.write(file, 0.5 * numpy.sin(numpy.arange(48000) / 5), 24000, format="MP3")
whole = file.getvalue()
for raw in (whole[:45], whole[:400], whole[:-700], whole[:900] + bytes(300) + whole[1200:]):
    for read in (kit.load_clip, kit.examine, kit.inspect_wav):
        try:
            read(raw)
        except kit.WavError:
            pass
sys.stderr.write("what Python prints")
"""


def test_libraries_print_nothing_by_themselves_and_python_still_does():
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED_MP3], capture_output=True, text=True, check=True
    )
    assert done.stderr == "what Python prints"
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the stream has another name")
def test_messages_of_c_are_discarded_only_meanwhile(capfd):
    import ctypes

    library = ctypes.CDLL(None)

    def print_in_c(text):
        stream = ctypes.c_void_p.in_dll(library, "stderr")
        library.fputs(text, stream)
        library.fflush(stream)

    with discard_c_messages(), discard_c_messages():
        print_in_c(b"lost ")
    with discard_c_messages():
        thread = threading.Thread(target=print_in_c, args=(b"lost too ",))
        thread.start()
        thread.join()
    print_in_c(b"shown")
    assert capfd.readouterr().err == "shown"
