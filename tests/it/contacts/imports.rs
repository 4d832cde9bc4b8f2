//! What an import makes of rows: changes, leaves, names; all or nothing; windows of duty.

use crate::harness::author;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use ringdown::{
    exchange::{LocalOrInstant, contacts::Availability, csv::BadRow},
    id::ContactId,
    store::{ContactData, ContactFilter, Error, ImportOptions, ImportReport, ImportRow, Imported, Store, WindowImport},
    wallclock::Zone,
};

use super::{add, found, group, named, search, version};
use crate::{
    databases::{Database, on_both_databases},
    scene::{evening, number},
};

on_both_databases! {
    an_import_makes_changes_and_leaves
    a_row_says_nothing_about_what_it_does_not_have
    the_same_person_twice_in_a_file_is_told
    all_or_nothing_is_nothing_if_a_row_is_bad
    a_dry_run_says_what_an_import_would_do
    windows_are_read_by_the_clocks_of_their_schedule
    a_calendar_of_windows_comes_in_once
    a_file_that_breaks_off_is_an_error
}

pub(super) fn options() -> ImportOptions {
    ImportOptions { dry_run: false, atomic: false, zone: "Europe/Rome".parse().expect("a zone") }
}

pub(super) fn row(line: u64, name: &str, text: &str) -> ImportRow {
    let first_number = (!text.is_empty()).then(|| number(text));
    ImportRow { line, name: name.into(), first_number, ..ImportRow::default() }
}

fn bad_row(line: u64) -> BadRow {
    BadRow { line, column: None, reason: "it is bad".into() }
}

/// The rows as a file that is read in pieces of 500.
fn file<T: Send + 'static>(mut rows: Vec<Result<T, BadRow>>) -> Imported<T> {
    let (send, file) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while !rows.is_empty() {
            let rest = rows.split_off(rows.len().min(500));
            if send.send(std::mem::replace(&mut rows, rest)).await.is_err() {
                return;
            }
        }
        let _ = send.send(Vec::new()).await;
    });
    file
}

pub(super) async fn import(store: &Store, rows: Vec<ImportRow>, options: ImportOptions) -> ImportReport {
    import_mixed(store, rows.into_iter().map(Ok).collect(), options).await
}

async fn import_mixed(store: &Store, rows: Vec<Result<ImportRow, BadRow>>, options: ImportOptions) -> ImportReport {
    store.by(author()).import_contacts(file(rows), options, evening()).await.expect("it is imported")
}

fn counts(report: &ImportReport) -> [u64; 4] {
    [report.created, report.updated, report.unchanged, report.bad]
}

async fn everybody(store: &Store) -> Vec<String> {
    found(store, ContactFilter::default()).await
}

async fn an_import_makes_changes_and_leaves(database: Database) {
    let store = database.store().await;
    let ana = add(&store, named("Ana", "Rossi", &["+393331234567", "+393331234568"])).await;
    let restored = ContactId::generate();
    let rows = || {
        let surname = |surname: &str| Some(surname.to_owned());
        vec![
            // By any of her numbers and her names, in whatever case.
            ImportRow { surname: surname("ROSSI"), city: Some("Bari".into()), ..row(2, "ana", "+393331234568") },
            // The same number, other names: somebody else.
            ImportRow { surname: surname("Rossi"), ..row(3, "Ben", "+393331234567") },
            // An identifier that nobody has is kept.
            ImportRow { id: Some(restored), ..row(4, "Cem", "+393331234569") },
            ImportRow { groups: Some(vec!["ops".into(), "web".into()]), ..row(5, "Dan", "+393331234560") },
        ]
    };
    let report = import(&store, rows(), options()).await;
    assert_eq!((counts(&report), report.kept), ([3, 1, 0, 0], true), "{report:?}");
    let there = store.contact(ana).await.expect("an answer").expect("a contact");
    assert_eq!((&*there.data.name, &*there.data.surname, &*there.data.city), ("ana", "ROSSI", "Bari"));
    assert_eq!((there.data.numbers.len(), there.version), (2, 2));
    assert!(store.contact(restored).await.expect("an answer").is_some());
    let dan = store.contacts_named("Dan").await.expect("an answer")[0];
    assert_eq!(store.groups_of(&[dan]).await.expect("an answer")[&dan], ["ops", "web"]);

    let again = import(&store, rows(), options()).await;
    assert_eq!((counts(&again), again.kept), ([0, 0, 4, 0], false), "{again:?}");
    assert_eq!(version(&store, ana).await, 2);

    // By the identifier, whatever else is different; and out of a group.
    let rows = vec![
        ImportRow { id: Some(ana), surname: Some(String::new()), ..row(2, "Anna", "+442071838750") },
        ImportRow { groups: Some(vec!["web".into()]), ..row(3, "Dan", "+393331234560") },
    ];
    assert_eq!(counts(&import(&store, rows, options()).await), [0, 2, 0, 0]);
    let there = store.contact(ana).await.expect("an answer").expect("a contact");
    let numbers: Vec<&str> = there.data.numbers.iter().map(|number| number.number.as_str()).collect();
    assert_eq!(numbers, ["+442071838750", "+393331234568"]);
    assert_eq!(search(&store, "ann").await, ["Anna"]);
    assert_eq!(store.groups_of(&[dan]).await.expect("an answer")[&dan], ["web"]);
    let ops = group(&store, "ops").await;
    assert_eq!((ops.version, ops.data.members), (2, vec![]), "whoever edits it has to read it again");
}

async fn a_row_says_nothing_about_what_it_does_not_have(database: Database) {
    let store = database.store().await;
    let full = ContactData {
        email: "ana@example.com".into(),
        language: "it".into(),
        time_zone: "Asia/Tokyo".into(),
        tags: vec!["ops".into()],
        enabled: false,
        tell_when_over: true,
        ..named("Ana", "", &["+393331234567", "+393331234568"])
    };
    let id = add(&store, full.clone()).await;
    store.by(author()).set_contact_pin(id, 1, Some("$argon2id$".into()), evening()).await.expect("it is stored");
    let report = import(&store, vec![row(2, "Ana", "+393331234568")], options()).await;
    assert_eq!(counts(&report), [0, 0, 1, 0]);
    let rows = vec![ImportRow { city: Some("Bari".into()), ..row(2, "Ana", "+393331234568") }];
    assert_eq!(counts(&import(&store, rows, options()).await), [0, 1, 0, 0]);
    let there = store.contact(id).await.expect("an answer").expect("a contact");
    assert_eq!(there.data, ContactData { city: "Bari".into(), ..full });
    assert_eq!((there.pin_hash.as_deref(), there.created_at), (Some("$argon2id$"), evening()));
    // What it has and is empty is emptied.
    let rows = vec![ImportRow {
        email: Some(String::new()),
        tags: Some(vec![]),
        numbers: Some(vec![]),
        ..row(2, "Ana", "+393331234567")
    }];
    assert_eq!(counts(&import(&store, rows, options()).await), [0, 1, 0, 0]);
    let there = store.contact(id).await.expect("an answer").expect("a contact");
    assert_eq!((&*there.data.email, there.data.tags.len(), there.data.numbers.len()), ("", 0, 1));
}

async fn the_same_person_twice_in_a_file_is_told(database: Database) {
    let store = database.store().await;
    let id = add(&store, named("Ana", "", &["+393331234567"])).await;
    for name in ["Dee", "Dee"] {
        add(&store, named(name, "", &["+393331234000"])).await;
    }
    let mut rows = vec![
        row(2, "Ana", "+393331234567"),
        ImportRow { id: Some(id), ..row(3, "Ana", "+393331234567") },
        row(4, "Ben", "+393331234568"),
        row(5, "ben", "+393331234568"),
        row(6, "Dee", "+393331234000"),
    ];
    // Far enough behind to be in another transaction.
    rows.extend((0..600).map(|n| row(n + 7, &format!("Other {n}"), &format!("+39334{n:07}"))));
    rows.push(row(700, "Ben", "+393331234568"));
    // One who says of themselves that they are somebody else.
    rows.push(ImportRow { id: Some(ContactId::generate()), ..row(701, "Ben", "+393331234568") });
    for dry_run in [true, false] {
        let report = import(&store, rows.clone(), ImportOptions { dry_run, ..options() }).await;
        assert_eq!(counts(&report), [602, 0, 1, 4], "{report:?}");
        let told: Vec<(u64, &str)> = report.told.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
        let expected = [
            (3, "this is the same contact as on line 2"),
            (5, "this is the same contact as on line 4"),
            (6, "several contacts have these names and this number: give the id"),
            (700, "this is the same contact as on line 4"),
        ];
        assert_eq!(told, expected);
    }
    let again = import(&store, rows, options()).await;
    assert_eq!((again.created, again.updated), (0, 0), "{again:?}");
}

async fn all_or_nothing_is_nothing_if_a_row_is_bad(database: Database) {
    let store = database.store().await;
    let atomic = ImportOptions { atomic: true, ..options() };
    let rows = || {
        let good = |n: u64| ImportRow {
            groups: Some(vec!["ops".into()]),
            ..row(n + 2, &format!("Person {n}"), &format!("+39333{n:07}"))
        };
        (0..600).map(good).map(Ok).collect::<Vec<_>>()
    };
    let mut with_bad = rows();
    with_bad.push(Err(bad_row(602)));
    let report = import_mixed(&store, with_bad.clone(), atomic).await;
    assert_eq!((counts(&report), report.kept), ([600, 0, 0, 1], false));
    assert_eq!(report.told, [bad_row(602)]);
    assert_eq!(everybody(&store).await, Vec::<String>::new());
    assert_eq!(store.groups().await, Ok(vec![]));
    // The same without all or nothing keeps the good ones; and nothing bad keeps all.
    let report = import_mixed(&store, with_bad, options()).await;
    assert_eq!((counts(&report), report.kept), ([600, 0, 0, 1], true));
    let mut more = rows();
    more.push(Ok(row(602, "Zoe", "+393341234567")));
    let report = import_mixed(&store, more, atomic).await;
    assert_eq!((counts(&report), report.kept), ([1, 0, 600, 0], true));
    assert_eq!(search(&store, "zoe").await, ["Zoe"]);
}

async fn a_dry_run_says_what_an_import_would_do(database: Database) {
    let store = database.store().await;
    add(&store, named("Ana", "", &["+393331234567"])).await;
    let availability = Availability {
        start_at: LocalOrInstant::Instant(evening()),
        end_at: LocalOrInstant::Instant(evening() + TimeDelta::hours(1)),
        priority: 1,
    };
    let rows = vec![
        ImportRow { city: Some("Bari".into()), ..row(2, "Ana", "+393331234567") },
        ImportRow {
            groups: Some(vec!["ops".into()]),
            windows: Some(vec![availability]),
            ..row(3, "Ben", "+393331234568")
        },
    ];
    for atomic in [false, true] {
        let report = import(&store, rows.clone(), ImportOptions { dry_run: true, atomic, ..options() }).await;
        assert_eq!((counts(&report), report.kept), ([1, 1, 0, 0], false));
        assert_eq!(everybody(&store).await, ["Ana"]);
        assert_eq!(store.groups().await, Ok(vec![]));
        assert_eq!(store.oncall_windows(None).await, Ok(vec![]));
    }
    assert_eq!(counts(&import(&store, rows, options()).await), [1, 1, 0, 0]);
}

fn local(hour: u32) -> LocalOrInstant {
    let at = NaiveDate::from_ymd_opt(2026, 7, 1).and_then(|day| day.and_hms_opt(hour, 0, 0));
    LocalOrInstant::Local(at.expect("a time"))
}

async fn windows_are_read_by_the_clocks_of_their_schedule(database: Database) {
    let store = database.store().await;
    let windows = |spans: &[(u32, u32)]| {
        let window =
            |&(from, until): &(u32, u32)| Availability { start_at: local(from), end_at: local(until), priority: 2 };
        Some(spans.iter().map(window).collect())
    };
    let ana = |spans: &[(u32, u32)]| vec![ImportRow { windows: windows(spans), ..row(2, "Ana", "+393331234567") }];
    let hours = async || {
        let windows = store.oncall_windows(None).await.expect("an answer");
        windows.iter().map(|window| window.from.format("%H:%M").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(counts(&import(&store, ana(&[(9, 10), (12, 13)]), options()).await), [1, 0, 0, 0]);
    assert_eq!(hours().await, ["07:00", "10:00"], "Rome, in summer");
    // The schedule goes by Rome now, whatever the next import says.
    let tokyo = ImportOptions { zone: "Asia/Tokyo".parse().expect("a zone"), ..options() };
    assert_eq!(counts(&import(&store, ana(&[(12, 13), (9, 10)]), tokyo).await), [0, 0, 1, 0]);
    assert_eq!(counts(&import(&store, ana(&[(12, 13)]), tokyo).await), [0, 1, 0, 0]);
    assert_eq!(hours().await, ["10:00"], "a row replaces the windows");
    assert_eq!(counts(&import(&store, vec![row(2, "Ana", "+393331234567")], tokyo).await), [0, 0, 1, 0]);
    assert_eq!(hours().await, ["10:00"], "unless it says nothing about them");
    let backwards = import(&store, ana(&[(13, 12)]), tokyo).await;
    assert_eq!((counts(&backwards), backwards.told[0].column.as_deref()), ([0, 0, 0, 1], Some("on_call_availability")));
    assert_eq!(counts(&import(&store, ana(&[]), tokyo).await), [0, 1, 0, 0]);
    assert_eq!(hours().await, Vec::<String>::new());
}

pub(super) fn window_row(line: u64, name: &str, from: DateTime<Utc>, seconds: i64) -> WindowImport {
    WindowImport {
        line,
        id: None,
        name: name.into(),
        surname: String::new(),
        start_at: LocalOrInstant::Instant(from),
        end_at: LocalOrInstant::Instant(from + TimeDelta::seconds(seconds)),
        priority: 1,
    }
}

pub(super) async fn import_windows(store: &Store, rows: Vec<WindowImport>) -> ImportReport {
    let options = ImportOptions { zone: Zone::UTC, ..options() };
    store
        .by(author())
        .import_windows(file(rows.into_iter().map(Ok).collect()), options, evening())
        .await
        .expect("it is imported")
}

async fn a_calendar_of_windows_comes_in_once(database: Database) {
    let store = database.store().await;
    let ana = add(&store, named("Ana", "Rossi", &[])).await;
    for _ in 0..2 {
        add(&store, named("Ben", "", &[])).await;
    }
    let rows = vec![
        WindowImport { surname: "rossi".into(), ..window_row(2, "ana", evening(), 60) },
        WindowImport { id: Some(ana), ..window_row(3, "whoever", evening() + TimeDelta::days(1), 60) },
        // A predecessor's identifier means nobody here; the names do.
        WindowImport {
            id: Some(ContactId::generate()),
            surname: "Rossi".into(),
            ..window_row(4, "Ana", evening() + TimeDelta::days(2), 60)
        },
        WindowImport { surname: "Rossi".into(), ..window_row(5, "Ana", evening(), 60) },
        window_row(6, "Ben", evening(), 60),
        window_row(7, "Cem", evening(), 60),
        WindowImport { id: Some(ana), ..window_row(8, "", evening(), 0) },
        WindowImport { id: Some(ana), priority: i64::MAX, ..window_row(9, "", evening(), 60) },
    ];
    let report = import_windows(&store, rows.clone()).await;
    assert_eq!((counts(&report), report.kept), ([3, 0, 1, 4], true), "{report:?}");
    let told: Vec<(u64, &str)> = report.told.iter().map(|bad| (bad.line, bad.reason.as_str())).collect();
    let expected = [
        (6, "2 contacts are called that: give the id"),
        (7, "there is no such contact"),
        (8, "it ends (2027-01-15 08:00:00 UTC) before it begins (2027-01-15 08:00:00 UTC)"),
        (9, "9223372036854775807 is no priority"),
    ];
    assert_eq!(told, expected);
    assert_eq!(counts(&import_windows(&store, rows).await), [0, 0, 4, 4]);
    let windows = store.oncall_windows(None).await.expect("an answer");
    assert_eq!(windows.len(), 3);
    assert!(windows.iter().all(|window| window.contact == ana && window.surname == "Rossi"));
}

async fn a_file_that_breaks_off_is_an_error(database: Database) {
    let store = database.store().await;
    for atomic in [true, false] {
        let (send, rows) = tokio::sync::mpsc::channel(1);
        send.send(vec![Ok(row(2, "Ana", "+393331234567"))]).await.expect("room");
        drop(send);
        let broken = store.by(author()).import_contacts(rows, ImportOptions { atomic, ..options() }, evening()).await;
        assert!(matches!(&broken, Err(Error::Unavailable(why)) if why.contains("broke off")), "{broken:?}");
        assert_eq!(everybody(&store).await.len(), usize::from(!atomic));
    }
}
