"""Lines at the bottom of a terminal, shown to another program's idea of one."""

import os

import pyte
from hypothesis import given, settings
from hypothesis import strategies as st

from semask.workflow.bottom_lines import Reserved, draw, release

SIZE = os.terminal_size((20, 10))


class Terminal:
    """A terminal, all that it has shown, and what is reserved at its bottom."""

    def __init__(self) -> None:
        self.screen = pyte.HistoryScreen(SIZE.columns, SIZE.lines, history=10_000)
        self.stream = pyte.Stream(self.screen)
        self.reserved: Reserved | None = None

    def write(self, text: str) -> None:
        self.stream.feed(text.replace("\n", "\r\n"))  # as the kernel does

    def draw(self, *lines: str, size: os.terminal_size = SIZE) -> None:
        self.stream.feed(draw(lines, size, self.reserved))
        self.reserved = Reserved(len(lines), size)

    def release(self) -> None:
        self.stream.feed(release())
        self.reserved = None

    @property
    def bottom(self) -> list[str]:
        held = self.reserved.height if self.reserved else 0
        return [line.rstrip() for line in self.screen.display[self.screen.lines - held :]]

    @property
    def above(self) -> list[str]:
        """All lines from the first one on, less those at the bottom and blank ones before them."""
        past = ["".join(line[x].data for x in range(SIZE.columns))
                for line in self.screen.history.top]  # fmt: skip
        held = self.reserved.height if self.reserved else 0
        lines = [*past, *self.screen.display[: self.screen.lines - held]]
        return "\n".join(line.rstrip() for line in lines).rstrip("\n").split("\n")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab\n", max_size=30) | st.integers(0, 5), max_size=20),
)
def test_what_others_write_stays_whole(steps: list[str | int]) -> None:
    """Text in any pieces, between changes of the lines, is what it is without the lines."""
    plain, shared = Terminal(), Terminal()
    for step in steps:
        if isinstance(step, str):
            plain.write(step)
            shared.write(step)
        elif step == 0:
            shared.release()
        else:
            lines = [f"line {number} of {step}" for number in range(step)]
            shared.draw(*lines)
            assert shared.bottom == lines
        assert shared.above == plain.above
    shared.write("next")
    plain.write("next")
    assert shared.above == plain.above


def test_all_is_as_before_in_the_end() -> None:
    terminal = Terminal()
    terminal.write("one\ntwo\n")
    terminal.draw("view", "job")
    terminal.release()
    assert terminal.above == ["one", "two"]
    assert terminal.screen.margins is None
    terminal.write("\n".join(map(str, range(20))))
    assert terminal.screen.display[-1].rstrip() == "19"


def test_long_lines_and_odd_characters_stay_on_their_line() -> None:
    terminal = Terminal()
    wide = "".join(chr(0x4E00 + number) for number in range(20))
    terminal.draw("a" * 50, "tab\tbell\a\x1b[2J", "next", wide)
    assert terminal.bottom[:3] == ["a" * 19, "tab?bell??[2J", "next"]
    assert terminal.bottom[3].startswith(wide[:5])
    assert terminal.above == [""]


def test_colours_of_others_go_on() -> None:
    terminal = Terminal()
    terminal.write("\x1b[32mgreen ")
    terminal.draw("view")
    terminal.write("green")
    assert {terminal.screen.buffer[0][x].fg for x in (0, 6)} == {"green"}
    assert terminal.screen.buffer[9][0].reverse
    assert terminal.screen.buffer[9][0].fg == "default"


def test_a_terminal_that_is_resized() -> None:
    terminal = Terminal()
    terminal.write("one\n")
    terminal.draw("view", "job")
    larger = os.terminal_size((30, 14))
    terminal.screen.resize(larger.lines, larger.columns)
    terminal.draw("view", "job", size=larger)
    terminal.write("two")
    shown = [line.rstrip() for line in terminal.screen.display]
    assert [line for line in shown if line] == ["one", "two", "view", "job"]
    assert shown[-2:] == ["view", "job"]
