//! WHO IS ON CALL: schedules of layers, overrides and windows. Pure.
