//! Who has no business there: thousands of connections that say nothing, or say it slowly, or do not stop.

use std::{net::SocketAddr, time::Duration};

use lab::{process::allow_open_files, settings::Step};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::harness::{ANA, LATER, story};

/// How many say nothing.
const SILENT: usize = 10_000;
/// Between the lead-in and the first word there is nothing to wait for; some more on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Connects so often and holds on to every one of them, the first fifth at once and the others over the time.
async fn say_nothing(to: SocketAddr, many: usize, over: Duration, came: watch::Sender<usize>) -> Vec<TcpStream> {
    let mut held = Vec::with_capacity(many);
    let mut tick = interval(over / 100);
    tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
    while held.len() < many {
        if held.len() >= many / 5 {
            tick.tick().await;
        }
        for _ in 0..many / 100 {
            held.push(TcpStream::connect(to).await.expect("the listener takes everybody"));
        }
        came.send_replace(held.len());
    }
    held
}

/// Writes a byte a second, and begins anew when it is sent away.
async fn say_it_slowly(to: SocketAddr) {
    loop {
        let Ok(mut stream) = TcpStream::connect(to).await else { return };
        for byte in b"agi_network: yes\nagi_network_script: alert\n" {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Writes a line of 15 MiB, again and again.
async fn say_it_without_end(to: SocketAddr) {
    let piece = vec![b'x'; 64 * 1024];
    loop {
        let Ok(mut stream) = TcpStream::connect(to).await else { return };
        for _ in 0..15 * 16 {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_and_slow_and_endless_ones_leave_a_call_unharmed() {
    // Each has an end here and, for a while, one in the server.
    let files = allow_open_files();
    let many = SILENT.min(usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(500));
    if many < SILENT {
        eprintln!("{files} files may be open: {many} connections instead of {SILENT}");
    }
    let ana = |settings: &mut lab::settings::Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
    };
    story(ana, async |h| {
        let agi = h.server.agi;
        let mut strangers = JoinSet::new();
        for _ in 0..50 {
            strangers.spawn(say_it_slowly(agi));
        }
        strangers.spawn(say_it_without_end(agi));
        let (came, mut so_many) = watch::channel(0);
        let silent = tokio::spawn(say_nothing(agi, many, Duration::from_secs(10), came));
        // As many as there may be, and again as many.
        so_many.wait_for(|came| *came >= many / 5).await?;

        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.answers().await?;
        let heard = h.phone(ANA).hears_alert("Disk full").await?;
        assert!(heard.at < AT_ONCE, "the alert began {:?} after the answer", heard.at);
        let pressed = Instant::now();
        h.phone(ANA).presses('4').await?;
        h.is(&id, "acknowledged").await?;
        assert!(pressed.elapsed() < AT_ONCE, "the key took {:?}", pressed.elapsed());
        h.phone(ANA).is_hung_up().await?;

        let silent = tokio::time::timeout(LATER, silent).await??;
        assert_eq!(silent.len(), many / 100 * 100, "so many had said nothing");
        let call = h.record(&id).await?;
        assert_eq!((call["status"].as_str(), call["digits"].as_str()), (Some("completed"), Some("4")));
        let kinds = h.kinds(&id).await?;
        assert_eq!(kinds.iter().filter(|kind| *kind == "speaking").count(), 1, "it was told once: {kinds:?}");
        Ok(())
    })
    .await;
}
