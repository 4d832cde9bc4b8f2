//! LOCAL TIME: zones, and what becomes of local times that do not exist or exist twice. Pure.
