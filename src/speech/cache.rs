//! Sounds on disk, by digest of all that makes them what they are.
//!
//! A file appears whole, by rename, with a mode that Asterisk can read. Cleaned by age and by size.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

/// A directory of sounds.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    extension: &'static str,
}

/// How much it may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// A sound that was not used for so long goes.
    pub age: Duration,
    /// The least recently used go until so many bytes are left.
    pub bytes: u64,
}

impl Cache {
    /// Opens the directory, makes it if it is missing. Asterisk tells a rate by the extension.
    pub(super) fn open(directory: &Path, extension: &'static str) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        Ok(Self { directory: directory.canonicalize()?, extension })
    }

    /// The name of a sound, made from all that makes it what it is.
    pub(super) fn name(parts: &[&str]) -> String {
        let mut digest = Sha256::new();
        for part in parts {
            // The length keeps ["ab", "c"] and ["a", "bc"] apart.
            digest.update(part.len().to_le_bytes());
            digest.update(part.as_bytes());
        }
        hex::encode(&digest.finalize()[..16])
    }

    /// Where a sound of this name is or would be.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.{}", self.extension))
    }

    /// Whether it is there. One that is found is not the next to go.
    pub(super) fn has(&self, name: &str, now: SystemTime) -> bool {
        let Ok(file) = fs::File::open(self.path(name)) else { return false };
        // A cache that cannot note the use of a sound still has it.
        let _ = file.set_modified(now);
        true
    }

    /// Writes a sound. Another that writes the same at the same time does no harm.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(format!(".{name}.{}", unique()));
        let written = fs::write(&temporary, bytes)
            .and_then(|()| fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)))
            .and_then(|()| fs::rename(&temporary, self.path(name)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes what is too old or too much. Returns how many files went. Sounds named in `keep` stay.
    pub(super) fn clean(&self, limits: Keep, now: SystemTime, keep: &[String]) -> io::Result<usize> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let file_name = entry.file_name();
            let name = Path::new(&file_name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if metadata.is_file() && !keep.contains(&name) {
                files.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        let mut removed = 0;
        for (used, bytes, path) in files {
            let age = now.duration_since(used).unwrap_or_default();
            if age <= limits.age && total <= limits.bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Something that no other writer of this or another process has.
fn unique() -> String {
    format!("{}.{:x}", std::process::id(), rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (20_000 + days)
    }

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let cache = Cache::open(&directory.path().join("sounds"), "wav").expect("opens");
        (directory, cache)
    }

    #[test]
    fn a_sound_is_there_whole_and_everybody_may_read_it() {
        let (_directory, cache) = cache();
        assert!(!cache.has("a", at(0)));
        cache.put("a", b"sound").expect("writes");
        assert!(cache.has("a", at(0)));
        let mode = fs::metadata(cache.path("a")).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(fs::read_dir(cache.path("a").parent().expect("a directory")).expect("reads").count(), 1);
    }

    #[test]
    fn the_name_keeps_apart_what_is_not_the_same() {
        assert_ne!(Cache::name(&["ab", "c"]), Cache::name(&["a", "bc"]));
        assert_eq!(Cache::name(&["ab", "c"]), Cache::name(&["ab", "c"]));
    }

    #[test]
    fn the_old_go_then_the_least_recently_used_and_the_standing_ones_stay() {
        let (_directory, cache) = cache();
        for (name, day) in [("old", 0), ("standing", 0), ("b", 8), ("c", 9)] {
            cache.put(name, &[0; 10]).expect("writes");
            assert!(cache.has(name, at(day)));
        }
        let keep = ["standing".to_owned()];
        let removed = cache.clean(Keep { age: DAY * 5, bytes: 1000 }, at(10), &keep).expect("cleans");
        assert_eq!(removed, 1);
        assert!(!cache.has("old", at(10)));
        let removed = cache.clean(Keep { age: DAY * 5, bytes: 10 }, at(10), &keep).expect("cleans");
        assert_eq!(removed, 1);
        assert!(!cache.has("b", at(10)) && cache.has("c", at(10)) && cache.has("standing", at(10)));
    }
}
