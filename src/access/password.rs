//! Passwords: which ones are refused. They are kept and checked like PINs, as argon2id.
//!
//! Length is what counts (NIST SP 800-63B, 5.1.1.2): no rules about kinds of characters.

pub use crate::pin::{hash, verify};

/// Characters of a password, at least.
pub const SHORTEST: usize = 12;
/// Bytes of a password, at most: more is no safer, only slower.
pub const LONGEST: usize = 256;

/// A hash of nothing that anybody knows: who has no account is checked against it, and takes as long.
pub const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$cmluZ2Rvd24tbm9ib2R5$2wQh1ZrPNU8lyO9tTe0wLxJ8r3f6s0W2h1b7cVqkA9g";

/// Why a text may not be the password of `user`, in words that do not repeat it.
#[must_use]
pub fn mistake(password: &str, user: &str) -> Option<&'static str> {
    if password.chars().count() < SHORTEST {
        return Some("a password has 12 characters at least");
    }
    if password.len() > LONGEST {
        return Some("a password has 256 bytes at most");
    }
    if password.contains('\0') {
        return Some("a password cannot have a NUL");
    }
    let lower = password.to_lowercase();
    if user.chars().count() >= 4 && lower.contains(&user.to_lowercase()) {
        return Some("the password has the user's name in it");
    }
    let mut different: Vec<char> = lower.chars().collect();
    different.sort_unstable();
    different.dedup();
    if different.len() < 5 {
        return Some("the password has the same few characters again and again");
    }
    let guessed = ["password", "passw0rd", "123456", "qwerty", "letmein", "ringdown", "changeme", "change-me"];
    let rest = guessed.iter().fold(lower, |rest, word| rest.replace(word, ""));
    // What remains beside the words that everybody tries must be long enough to be a secret by itself.
    (rest.chars().count() < 8).then_some("the password is little more than words that are tried first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused() {
        for weak in [
            "",
            "short",
            "elevenchars",
            "aaaaaaaaaaaaaaaa",
            "password123456",
            "Passw0rd!Passw0rd!",
            "ringdown1234567",
            "anna-maria-77 anna",
        ] {
            assert!(mistake(weak, "anna").is_some(), "{weak:?}");
        }
        assert!(mistake(&"abcdef".repeat(50), "ben").is_some(), "too long");
        assert!(mistake("twelve\0chars and more", "ben").is_some());
        for good in ["correct horse battery", "žluťoučký kůň", "V3ry-unlike-ly"] {
            assert_eq!(mistake(good, "ben"), None, "{good:?}");
        }
        // A short name is in many words.
        assert_eq!(mistake("correct horse battery", "or"), None);
    }

    #[test]
    fn nobody_has_a_password_and_checking_it_takes_the_work_of_a_real_one() {
        assert!(!verify("", NOBODYS));
        assert!(!verify("ringdown-nobody", NOBODYS));
        let real = hash("correct horse battery", [3; 16]).unwrap();
        let parameters = |phc: &str| phc.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(parameters(&real), parameters(NOBODYS));
        // It can be read at all: else it would be refused without any work.
        assert!(argon2::PasswordHash::new(NOBODYS).is_ok());
    }
}
