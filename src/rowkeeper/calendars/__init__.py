"""Days on which something is expected, and the hour by which it is due."""

from rowkeeper.calendars.calendar import Calendar, calendar_of
from rowkeeper.calendars.due import Due, Window
from rowkeeper.calendars.zones import zone_of

__all__ = ["Calendar", "Due", "Window", "calendar_of", "zone_of"]
