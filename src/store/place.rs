//! Where a SQLite database is. What is written into a file that was deleted or replaced is gone with the
//! process, and SQLite itself does not notice: so it is looked whether what is there still is what was opened.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Error;

/// A database's file and its log of writes; nothing for PostgreSQL.
#[derive(Debug, Default)]
pub(super) struct Place {
    database: Option<(PathBuf, Identity)>,
    /// Known once something was written.
    log: Option<(PathBuf, Option<Identity>)>,
    /// Whether somebody was told that it is gone.
    told: bool,
}

/// Device and inode: what makes a file that file.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

impl Place {
    /// Makes the file of a SQLite database if it is missing, so that only we can read it: it holds people's
    /// numbers. What SQLite puts beside it has the same mode.
    pub(super) fn make(url: &str) -> Result<Self, Error> {
        let Some(path) = url.strip_prefix("sqlite:") else { return Ok(Self::default()) };
        let path = Path::new(path.trim_start_matches("//"));
        Self::open(path).map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))
    }

    fn open(path: &Path) -> io::Result<Self> {
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?.metadata()?;
        // SQLite follows links, and puts its log beside what they lead to.
        let mut log = path.canonicalize()?.into_os_string();
        log.push("-wal");
        let database = Some((path.to_owned(), (opened.dev(), opened.ino())));
        Ok(Self { database, log: Some((log.into(), None)), told: false })
    }

    /// Whether what is there still is what was opened. Says so in the log when that changes.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let there = self.is_there();
        if there == self.told {
            self.told = !there;
            if there {
                tracing::info!("the database's file is back");
            } else {
                tracing::error!("the database's file was moved, replaced or deleted: nothing is taken in or done");
            }
        }
        if there { Ok(()) } else { Err(Error::Displaced) }
    }

    fn is_there(&mut self) -> bool {
        if self.database.as_ref().is_some_and(|(path, opened)| identity(path) != Some(*opened)) {
            return false;
        }
        let Some((path, known)) = &mut self.log else { return true };
        match (*known, identity(path)) {
            (None, now) => {
                *known = now;
                true
            }
            (known, now) => known == now,
        }
    }

    /// The connection is made anew: if it was the last one, SQLite has begun another log.
    pub(super) fn connects_anew(&mut self) {
        if let Some((_, known)) = &mut self.log {
            *known = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_moved_away_is_missed_and_one_in_its_place_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let (file, elsewhere) = (directory.path().join("db"), directory.path().join("elsewhere"));
        let mut place = Place::make(&format!("sqlite:{}", file.display())).unwrap();
        assert_eq!(place.check(), Ok(()));
        fs::rename(&file, &elsewhere).unwrap();
        assert_eq!(place.check(), Err(Error::Displaced));
        fs::copy(&elsewhere, &file).unwrap();
        assert_eq!(place.check(), Err(Error::Displaced), "a copy");
        fs::rename(&elsewhere, &file).unwrap();
        assert_eq!(place.check(), Ok(()));
    }

    #[test]
    fn the_log_of_writes_counts_from_when_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (file, log) = (directory.path().join("db"), directory.path().join("db-wal"));
        let mut place = Place::make(&format!("sqlite:{}", file.display())).unwrap();
        assert_eq!(place.check(), Ok(()));
        fs::write(&log, "").unwrap();
        assert_eq!(place.check(), Ok(()));
        fs::remove_file(&log).unwrap();
        assert_eq!(place.check(), Err(Error::Displaced));
        place.connects_anew();
        assert_eq!(place.check(), Ok(()));
    }

    #[test]
    fn a_database_without_a_file_is_where_it_is() {
        assert_eq!(Place::make("postgres://x/y").unwrap().check(), Ok(()));
    }
}
