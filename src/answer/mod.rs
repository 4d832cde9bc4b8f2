//! What a text that came in means.
