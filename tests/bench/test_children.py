"""What is measured beside the stack runs in processes that end with the block."""

from __future__ import annotations

import multiprocessing
import os
import time

import psutil
import pytest

from bench.children import child
from pipeline.errors import Unavailable


def adding(start):
    def add(number):
        if number < 0:
            raise ValueError("negative")
        return start + number, os.getpid()

    return add


def dying():
    os._exit(3)


def slow():
    return time.sleep


def test_it_answers_from_a_process_of_its_own_that_ends_with_the_block():
    with child(adding, 40) as add:
        found, pid = add(2)
        assert found == 42
        assert add(3) == (43, pid)
        assert pid != os.getpid()
    assert not psutil.pid_exists(pid)


def test_its_failure_is_told_in_a_sentence():
    with child(adding, 0) as add, pytest.raises(Unavailable, match="ValueError: negative"):
        add(-1)


def test_a_process_that_dies_is_told():
    with pytest.raises(Unavailable, match="died"), child(dying):
        pass


def test_leaving_in_the_middle_of_an_answer_ends_it_without_a_word(capfd):
    with child(slow) as wait:
        wait._connection.send((600,))
    assert not multiprocessing.active_children()
    assert capfd.readouterr().err == ""
