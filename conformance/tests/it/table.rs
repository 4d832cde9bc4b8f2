//! Runs every row with every speaker, all at once, and prints what came of it.

use std::{
    cell::RefCell,
    future::Future,
    panic,
    sync::{
        Once,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

/// `Err` says what is wrong, in a few words.
pub type Verdict = Result<(), String>;

/// What others get for a row; it may be that they wait for ever.
pub const OTHERS: Duration = Duration::from_secs(2);
/// What we get, on a machine that has much else to do.
pub const OURS: Duration = Duration::from_secs(30);

/// One cell of the table: it is ours if it must be right.
pub struct Cell {
    pub row: &'static str,
    pub speaker: &'static str,
    pub ours: bool,
    pub run: Box<dyn FnOnce() -> Verdict + Send>,
}

impl Cell {
    /// A cell that a future is to fill, on a runtime of its own.
    pub fn new<F>(
        row: &'static str,
        speaker: &'static str,
        ours: bool,
        future: impl FnOnce() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Verdict>,
    {
        let run = Box::new(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let limit = if ours { OURS } else { OTHERS };
            let verdict = runtime.block_on(async { tokio::time::timeout(limit, future()).await });
            runtime.shutdown_background();
            verdict.unwrap_or_else(|_| Err("hangs".to_owned()))
        });
        Self { row, speaker, ours, run }
    }
}

thread_local! {
    /// What panicked on this thread: runtimes catch it, and nobody is told.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Fills all cells, prints the table, and returns what is wrong with ours.
pub fn fill(title: &str, cells: Vec<Cell>) -> Vec<String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let words = info.payload_as_str().unwrap_or("a panic").to_owned();
            PANICKED.with(|panicked| *panicked.borrow_mut() = Some(words));
            // What others do is shown in the table.
            if !thread::current().name().is_some_and(|name| name.starts_with("other")) {
                before(info);
            }
        }));
    });
    let running: Vec<_> = cells.into_iter().map(|cell| (cell.row, cell.speaker, cell.ours, start(cell))).collect();
    let mut wrong = Vec::new();
    let mut shown: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    for (row, speaker, ours, verdict) in running {
        let limit = if ours { 2 * OURS } else { 2 * OTHERS };
        let verdict = match verdict.recv_timeout(limit) {
            Ok(verdict) => verdict,
            // It computes and computes, so that not even its timer runs. It ends with the test.
            Err(RecvTimeoutError::Timeout) => Err("hangs, at full load".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("panics".to_owned()),
        };
        let text = verdict.map_or_else(|what| what, |()| "ok".to_owned());
        if ours && text != "ok" {
            wrong.push(format!("{row}: {text}"));
        }
        match shown.iter_mut().find(|(known, _)| *known == row) {
            Some((_, verdicts)) => verdicts.push((speaker, text)),
            None => shown.push((row, vec![(speaker, text)])),
        }
    }
    print(title, &shown);
    wrong
}

fn start(cell: Cell) -> mpsc::Receiver<Verdict> {
    let (to, verdict) = mpsc::channel();
    let name = format!("{} {}", if cell.ours { "ours" } else { "other" }, cell.row);
    let run = move || {
        let verdict = (cell.run)();
        let verdict = match PANICKED.with(RefCell::take) {
            Some(words) => Err(format!("panics: {words}")),
            None => verdict,
        };
        // The table may have been printed without it.
        let _ = to.send(verdict);
    };
    thread::Builder::new().name(name).spawn(run).expect("a thread");
    verdict
}

fn print(title: &str, rows: &[(&str, Vec<(&str, String)>)]) {
    let Some((_, first)) = rows.first() else { return };
    let speakers: Vec<&str> = first.iter().map(|(speaker, _)| *speaker).collect();
    let mut text = format!("\n| {title} | {} |\n|---{}|\n", speakers.join(" | "), "|---".repeat(speakers.len()));
    for (row, verdicts) in rows {
        let verdicts: Vec<String> = verdicts.iter().map(|(_, verdict)| verdict.replace('|', "/")).collect();
        text.push_str(&format!("| {row} | {} |\n", verdicts.join(" | ")));
    }
    println!("{text}");
}

/// Waits a moment, so that what was sent and what comes next are two reads. If they are one all the same, the row
/// is easier than it is meant to be, and nothing else.
pub async fn apart() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Compares what came with what should have.
pub fn same<T: PartialEq + std::fmt::Debug>(came: &T, expected: &T) -> Verdict {
    if came == expected { Ok(()) } else { Err(format!("wrong: {came:?} instead of {expected:?}")) }
}
