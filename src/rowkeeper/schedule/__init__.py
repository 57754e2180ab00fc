"""When a pipeline is run by itself: its instants, what is declared about them, and the slots that they make."""

from rowkeeper.schedule.depending import circle
from rowkeeper.schedule.due import Due, come_due, delay_of
from rowkeeper.schedule.instants import Schedule
from rowkeeper.schedule.slot import Slot, answering, current_slot, numbered_slot
from rowkeeper.schedule.timing import Timing, seconds_of

__all__ = [
    "Due",
    "Schedule",
    "Slot",
    "Timing",
    "answering",
    "circle",
    "come_due",
    "current_slot",
    "delay_of",
    "numbered_slot",
    "seconds_of",
]
