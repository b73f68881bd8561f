"""The option that writes the golden files anew."""


def pytest_addoption(parser):
    parser.addoption(
        "--regolden",
        action="store_true",
        help="write tests/golden/expected anew from what the package does now",
    )
