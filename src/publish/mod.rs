//! Say it: the gate page, ClockBound's page, the bus, the unit's status.

pub mod clockbound;
