//! PINs: which ones can be guessed, how one is kept, whether it is the right one. Pure.
//!
//! A PIN has few possibilities, so it is kept as argon2id (RFC 9106) with 19 MiB and two passes: some
//! 30 ms for us, and for whoever steals the database, for each guess. Whoever hashes does it away from the
//! tasks that answer telephones.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};

/// How many digits a PIN may have.
pub const LENGTH: std::ops::RangeInclusive<usize> = 4..=12;

/// What everybody tries first and no rule finds.
const POPULAR: [&str; 12] =
    ["1004", "1010", "1313", "1379", "2000", "2001", "2468", "2580", "6969", "1470", "147258", "159753"];

/// Why a text may not be a PIN, in words that do not repeat it.
#[must_use]
pub fn mistake(pin: &str) -> Option<&'static str> {
    let digits = pin.as_bytes();
    if !LENGTH.contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Some("a PIN has 4 to 12 digits, and nothing else");
    }
    let steps = |step: u8| digits.windows(2).all(|pair| (pair[0] - b'0' + step) % 10 == pair[1] - b'0');
    if steps(0) {
        return Some("all digits are the same: that is guessed at once");
    }
    // 1234, 7890, 4321, 0987.
    if steps(1) || steps(9) {
        return Some("the digits are in order: that is guessed at once");
    }
    let repeats = |length: usize| {
        digits.len().is_multiple_of(length) && digits.chunks(length).all(|part| part == &digits[..length])
    };
    if (2..=digits.len() / 2).any(repeats) {
        return Some("the same digits are repeated: that is guessed soon");
    }
    POPULAR.contains(&pin).then_some("this is one of the PINs that are tried first")
}

/// What is kept of a PIN, in PHC form.
///
/// # Errors
/// What argon2 says; it has no reason to with these parameters.
pub fn hash(pin: &str, salt: [u8; 16]) -> Result<String, String> {
    // argon2id, version 19, 19 MiB, two passes, one lane.
    let hash: argon2::PasswordHash =
        Argon2::default().hash_password_with_salt(pin.as_bytes(), &salt).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

/// Whether this is the PIN that `phc` was made from. What is no PHC text fits no PIN.
#[must_use]
pub fn verify(pin: &str, phc: &str) -> bool {
    PasswordVerifier::<str>::verify_password(&Argon2::default(), pin.as_bytes(), phc).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_pin_fits() {
        let kept = hash("274915", [7; 16]).expect("a hash");
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(!kept.contains("274915"));
        assert!(verify("274915", &kept));
        for wrong in ["274916", "27491", "2749150", "", " 274915"] {
            assert!(!verify(wrong, &kept), "{wrong:?}");
        }
        for nonsense in ["", "274915", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$"] {
            assert!(!verify("274915", nonsense), "{nonsense:?}");
        }
        assert_ne!(kept, hash("274915", [8; 16]).expect("a hash"), "the salt counts");
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        for weak in [
            "",
            "123",
            "1234567890123",
            "12a4",
            "٠١٢٣",
            " 1234",
            "12 34",
            "0000",
            "999999",
            "1234",
            "4567",
            "7890",
            "4321",
            "3210",
            "0987",
            "1212",
            "123123",
            "2580",
            "1313",
        ] {
            assert!(mistake(weak).is_some(), "{weak:?}");
        }
        for good in ["2749", "0042", "1235", "1243", "9081726354", "112112113"] {
            assert_eq!(mistake(good), None, "{good:?}");
        }
    }
}
