//! The signature of what is sent: whoever has the secret can tell that it came from here, and when.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `X-Ringdown-Signature` for `body`, sent at `timestamp` (seconds since 1970):
/// `v1=` and the HMAC-SHA256, in hexadecimal, of the timestamp in decimal, a full stop, and the body.
#[must_use]
pub fn sign(secret: &str, timestamp: i64, body: &str) -> String {
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    format!("v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_what_others_compute() {
        // printf '1800000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            super::sign("secret", 1_800_000_000, r#"{"a":1}"#),
            "v1=440dfbb83aabca24d9e5027629cfd81cb45254690f8d410bb28f1cc17c990dbc"
        );
        // A secret longer than a block of SHA-256.
        assert_eq!(
            super::sign(&"k".repeat(100), 0, ""),
            "v1=243c2f8200e1d4ee892e7a7ded377a65e2beb1c64b997c54b8b0f516216d4b0f"
        );
    }
}
