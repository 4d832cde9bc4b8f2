//! A wire that can be cut, clogged, muddied, or lead nowhere: TCP between two parts, in a test's hands.

use std::{
    collections::VecDeque,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{broadcast, watch},
    task::JoinHandle,
    time::timeout,
};

/// A proxy in front of a part. Its connections end with it.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What becomes of connections that come from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum New {
    /// They are led to the part.
    Through,
    /// They are taken, and nobody ever says a word.
    Nowhere,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connected, to the part.
    There,
    /// From the part, to whoever connected.
    Back,
}

/// What a connection is told to do.
#[derive(Clone)]
enum Order {
    Cut,
    Freeze(Way),
    Say(Arc<Vec<u8>>),
}

struct Shared {
    to: watch::Sender<Option<SocketAddr>>,
    new: watch::Sender<New>,
    orders: broadcast::Sender<Order>,
    /// After how many lines back each of the next connections is cut.
    cuts: Mutex<VecDeque<usize>>,
    came: AtomicUsize,
    live: watch::Sender<usize>,
}

impl Proxy {
    /// Listens on loopback. Leads nowhere yet: see [`Proxy::leads_to`].
    ///
    /// # Errors
    /// If there is no port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a proxy's port")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let shared = Arc::new(Shared {
            to: watch::Sender::new(None),
            new: watch::Sender::new(New::Through),
            orders: broadcast::Sender::new(1024),
            cuts: Mutex::default(),
            came: AtomicUsize::new(0),
            live: watch::Sender::new(0),
        });
        let serving = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { continue };
                        serving.came.fetch_add(1, Ordering::Relaxed);
                        connections.spawn(serve(Arc::clone(&serving), client));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Ok(Self { address, shared, accepting })
    }

    /// Where it leads.
    pub fn leads_to(&self, address: SocketAddr) {
        self.shared.to.send_replace(Some(address));
    }

    /// What becomes of connections from now on. Those that were led nowhere stay so.
    pub fn leads(&self, new: New) {
        self.shared.new.send_replace(new);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        let _ = self.shared.orders.send(Order::Cut);
    }

    /// Takes no bytes any more that go this way, of the connections there are.
    pub fn freeze(&self, way: Way) {
        let _ = self.shared.orders.send(Order::Freeze(way));
    }

    /// Says this to whoever is connected, as if the part had said it.
    pub fn says(&self, bytes: Vec<u8>) {
        let _ = self.shared.orders.send(Order::Say(Arc::new(bytes)));
    }

    /// Cuts the next connections, each as soon as the part has sent so many lines over it.
    pub fn cuts_next_after(&self, lines: impl IntoIterator<Item = usize>) {
        self.shared.cuts.lock().unwrap_or_else(PoisonError::into_inner).extend(lines);
    }

    /// How many connections have come.
    #[must_use]
    pub fn came(&self) -> usize {
        self.shared.came.load(Ordering::Relaxed)
    }

    /// Waits until every connection that there was is gone.
    ///
    /// # Errors
    /// If one stays.
    pub async fn is_empty(&self, within: Duration) -> Result<()> {
        let mut live = self.shared.live.subscribe();
        timeout(within, live.wait_for(|live| *live == 0)).await.context("a connection stays")??;
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A connection that is counted as long as it is there.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.live.send_modify(|live| *live += 1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.live.send_modify(|live| *live -= 1);
    }
}

async fn serve(shared: Arc<Shared>, mut client: TcpStream) {
    let counted = Counted::new(shared);
    let shared = &counted.0;
    let (mut there, mut back) = (shared.orders.subscribe(), shared.orders.subscribe());
    if *shared.new.borrow() == New::Nowhere {
        // What is said to it is not even read, until it goes or is cut.
        while !matches!(there.recv().await, Ok(Order::Cut) | Err(_)) {}
        return;
    }
    let cut_after = shared.cuts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let to = *shared.to.borrow();
    let Some(Ok(part)) = (match to {
        Some(to) => Some(TcpStream::connect(to).await),
        None => None,
    }) else {
        // As a port on which nobody listens.
        let _ = client.shutdown().await;
        return;
    };
    let _ = (client.set_nodelay(true), part.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_part, to_part) = part.into_split();
    tokio::select! {
        () = pump(from_client, to_part, Way::There, &mut there, None) => {}
        () = pump(from_part, to_client, Way::Back, &mut back, cut_after) => {}
    }
}

/// Carries bytes one way until there are no more, or it is told to stop.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    way: Way,
    orders: &mut broadcast::Receiver<Order>,
    cut_after: Option<usize>,
) {
    let mut frozen = false;
    let mut lines = 0;
    let mut chunk = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Ok(Order::Cut) | Err(_) => return,
                Ok(Order::Freeze(frozen_way)) => frozen |= frozen_way == way,
                Ok(Order::Say(bytes)) => {
                    // Whoever has heard enough of it closes the connection.
                    if way == Way::Back && to.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
            },
            read = from.read(&mut chunk), if !frozen => {
                let Ok(length @ 1..) = read else { return };
                let mut carried = &chunk[..length];
                for (place, _) in chunk[..length].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                    lines += 1;
                    if Some(lines) == cut_after {
                        carried = &chunk[..=place];
                        break;
                    }
                }
                if to.write_all(carried).await.is_err() || cut_after.is_some_and(|most| lines >= most) {
                    return;
                }
            }
        }
    }
}
