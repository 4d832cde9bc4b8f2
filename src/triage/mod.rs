//! WHICH POLICY, OR NONE: matchers, routing rules, silences. Pure.
