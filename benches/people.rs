//! Figures of people and time, on SQLite: `make bench`. Never a test: it judges nothing.
//!
//! Each figure is taken several times, and printed with its minimum, median and maximum beside what it
//! is to reach. Where there is an obvious other way to the same answer, that way is taken in the same
//! run, and the ratio is printed: this machine's mood divides out.

use std::{hint::black_box, time::Instant};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use ringdown::{
    bus::Bus,
    clock::Clock,
    engine::{DirectCall, Engine, Times},
    escalation::Target,
    id::ContactId,
    oncall::{self, Duty, Layer, Rotation, Schedule, Unit},
    phone::PhoneNumber,
    store::{Author, CallFilter, CallStatus, ContactFilter, ImportOptions, ImportRow, Imported, ScheduleData, Store},
    wallclock::{Day, Hours, Zone},
};

const RUNS: usize = 7;

fn morning() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap_or_default()
}

fn author() -> Author {
    Author::command("bench", morning())
}

/// Takes a figure `RUNS` times, in milliseconds.
async fn figure<T>(name: &str, to_reach: &str, mut take: impl AsyncFnMut() -> T) -> f64 {
    let mut taken = Vec::new();
    for _ in 0..RUNS {
        let begin = Instant::now();
        black_box(take().await);
        taken.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    print(name, to_reach, taken)
}

fn print(name: &str, to_reach: &str, mut taken: Vec<f64>) -> f64 {
    taken.sort_by(f64::total_cmp);
    let (least, median, most) = (taken[0], taken[taken.len() / 2], taken[taken.len() - 1]);
    println!("{name:<64} {median:>10.2} ms  ({least:.2} to {most:.2}, {} runs)   to reach: {to_reach}", taken.len());
    median
}

/// Five layers: hourly, daily, weekly, office hours, and somebody at all times.
fn schedule(people: &[ContactId]) -> Schedule {
    let start = NaiveDate::from_ymd_opt(2026, 1, 5).unwrap_or_default().and_time(NaiveTime::MIN);
    let rotation = |every, unit, from: usize| Rotation {
        participants: people.iter().cycle().skip(from).take(5).copied().collect(),
        start,
        every,
        unit,
    };
    let office = Hours {
        days: vec![Day::Mon, Day::Tue, Day::Wed, Day::Thu, Day::Fri],
        from: NaiveTime::from_hms_opt(9, 0, 0).unwrap_or_default(),
        to: NaiveTime::from_hms_opt(17, 0, 0).unwrap_or_default(),
    };
    let layer = |name: &str, rotation, restrictions| Layer { name: name.into(), rotation, restrictions, until: None };
    Schedule {
        zone: "Europe/Rome".parse::<Zone>().unwrap_or_default(),
        layers: vec![
            layer("office", rotation(1, Unit::Hours, 0), vec![office.clone()]),
            layer("weekdays", rotation(1, Unit::Days, 1), vec![office]),
            layer("hours", rotation(12, Unit::Hours, 2), Vec::new()),
            layer("days", rotation(1, Unit::Days, 3), Vec::new()),
            layer("weeks", rotation(1, Unit::Weeks, 4), Vec::new()),
        ],
    }
}

async fn store(directory: &tempfile::TempDir, name: &str) -> Store {
    let url = format!("sqlite:{}", directory.path().join(name).display());
    Store::open(&url).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<f64>().unwrap_or_default() / 1024.0
}

async fn on_call(directory: &tempfile::TempDir) {
    let people: Vec<ContactId> = (0..10).map(|_| ContactId::generate()).collect();
    let document = schedule(&people);
    let store = store(directory, "oncall.db").await;
    for nth in 0..1000 {
        let data =
            ScheduleData { name: format!("schedule {nth}"), schedule: document.clone(), ..ScheduleData::default() };
        store.by(author()).create_schedule(data, morning()).await.unwrap_or_else(|error| panic!("{error}"));
    }
    figure("who is on call, 1,000 schedules of 5 layers, from the database", "20 ms", async || {
        let duties = store.duties(morning(), morning()).await.unwrap_or_default();
        duties.iter().map(|one| oncall::on_call(&one.duty, morning()).len()).sum::<usize>()
    })
    .await;
    let duty = Duty { schedule: document, ..Duty::default() };
    let year = TimeDelta::days(365);
    let ours = figure("shifts of one year, one schedule of 5 layers", "5 ms", async || {
        oncall::shifts(&duty, morning(), morning() + year).map(|shifts| shifts.len())
    })
    .await;
    let walked = figure("  the same by asking every minute of one week of it", "(peer)", async || {
        (0..7 * 1440).map(|minute| oncall::on_call(&duty, morning() + TimeDelta::minutes(minute)).len()).sum::<usize>()
    })
    .await;
    println!("  ratio to walking the whole year: {:.0} times faster", walked * 52.14 / ours);
}

fn row(nth: usize) -> ImportRow {
    const NAMES: [&str; 20] = [
        "Ada", "Ben", "Carla", "Dario", "Elena", "Fabio", "Gina", "Hugo", "Ines", "Jan", "Katia", "Luca", "Marta",
        "Nino", "Olga", "Paolo", "Rita", "Sara", "Tea", "Ugo",
    ];
    let number = PhoneNumber::try_from(format!("+39333{nth:07}")).unwrap_or_else(|error| panic!("{error}"));
    ImportRow {
        line: u64::try_from(nth).unwrap_or_default() + 2,
        name: NAMES[nth % NAMES.len()].into(),
        surname: Some(format!("{}{}", NAMES[nth / 7 % NAMES.len()].to_lowercase(), nth / 20)),
        first_number: Some(number),
        ..ImportRow::default()
    }
}

/// Contacts as rows of a file, handed over as they are read.
fn rows(count: usize) -> Imported<ImportRow> {
    let (send, rows) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        for chunk in (0..count).collect::<Vec<_>>().chunks(500) {
            let chunk = chunk.iter().map(|nth| Ok(row(*nth))).collect();
            if send.send(chunk).await.is_err() {
                return;
            }
        }
        // An empty batch is the end of the file.
        let _ = send.send(Vec::new()).await;
    });
    rows
}

async fn address_book(directory: &tempfile::TempDir) {
    let mut taken = Vec::new();
    let mut memory: f64 = 0.0;
    for run in 0..3 {
        let store = store(directory, &format!("import{run}.db")).await;
        let before = resident();
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let watch = tokio::spawn(async move {
            let mut most = before;
            while stopped.try_recv().is_err() {
                most = most.max(resident());
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            most
        });
        let options = ImportOptions { dry_run: false, atomic: false, zone: Zone::UTC };
        let begin = Instant::now();
        let report = store.by(author()).import_contacts(rows(20_000), options, morning()).await;
        taken.push(begin.elapsed().as_secs_f64() * 1000.0);
        let report = report.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(report.created, 20_000);
        let _ = stop.send(());
        memory = memory.max(watch.await.unwrap_or_default() - before);
    }
    print("20,000 rows of contacts into the database", "5,000 ms", taken);
    println!("  {memory:.1} MiB more memory at most   to reach: under 50 MiB");

    let store = store(directory, "search.db").await;
    let options = ImportOptions { dry_run: false, atomic: false, zone: Zone::UTC };
    store
        .by(author())
        .import_contacts(rows(100_000), options, morning())
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    for prefix in ["mart", "rita lu", "+39333004", "333004"] {
        let filter = ContactFilter { prefix: Some(prefix.into()), ..ContactFilter::default() };
        figure(&format!("contacts that begin with {prefix:?}, among 100,000"), "10 ms", async || {
            store.contacts(&filter, None, 50).await.map(|page| page.items.len())
        })
        .await;
    }
}

async fn scheduled_calls(directory: &tempfile::TempDir) {
    let mut taken = Vec::new();
    for run in 0..3 {
        let store = store(directory, &format!("calls{run}.db")).await;
        let clock = Clock::manual(morning());
        let engine = Engine::new(store.clone(), Bus::default(), clock.clone());
        let due_at = morning() + TimeDelta::hours(1);
        for nth in 0..1000 {
            let number = PhoneNumber::try_from(format!("+39333{nth:07}")).unwrap_or_else(|error| panic!("{error}"));
            let call = DirectCall {
                placing: ringdown::escalation::Placing::default(),
                to: Target::Number(number),
                text: "it is time".into(),
                attempts: 1,
                attempt_delay: 60,
                source: "bench".into(),
                schedule: Some(Times { due_at, expires_at: due_at + TimeDelta::minutes(15) }),
            };
            engine.place(call).await.unwrap_or_else(|error| panic!("{error}"));
        }
        clock.advance(TimeDelta::hours(1));
        let begin = Instant::now();
        engine.tick().await.unwrap_or_else(|error| panic!("{error}"));
        taken.push(begin.elapsed().as_secs_f64() * 1000.0);
        let filter = CallFilter { status: Some(CallStatus::Pending), ..CallFilter::default() };
        let queued = store.calls(filter, 2000).await.map(|page| page.items.len());
        assert_eq!(queued, Ok(1000), "all of them are queued");
    }
    print("1,000 scheduled calls due in the same second, all queued", "1,000 ms", taken);
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` and the like only want to know that it runs.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores, load {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    let directory = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    on_call(&directory).await;
    address_book(&directory).await;
    scheduled_calls(&directory).await;
}
