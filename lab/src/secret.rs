//! Random words for whoever has to prove who they are.

/// 32 letters. No digits, so that none looks like a placeholder by accident.
#[must_use]
pub fn secret() -> String {
    let bytes: [u8; 16] = rand::random();
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(b'a' + half)).collect()
}
