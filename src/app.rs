//! Builds everything from the configuration, runs the tasks, stops them in order.

mod cleaning;
mod first;

use std::{collections::HashMap, fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use metrics_exporter_prometheus::PrometheusHandle;
use poem::listener::BoxAcceptor;
use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    agi, ami, answer,
    api::{self, Access, Limits, Passwords, listener},
    bus::Bus,
    clock::Clock,
    config::{self, Config},
    dialer::{self, Dialer},
    engine::Engine,
    escalation::{Policy, Step, Target},
    herald::Herald,
    id::ContactId,
    ivr::{self, Ivr},
    lifesign, modem,
    notifier::{self, Notifier},
    route::Capacity,
    script::{Script, Texts},
    speech::{self, Speech},
    store::{Author, ContactData, ContactNumber, PolicyData, Store},
    texter::{self, Answers, Texter, Way, Words},
    twilio::Twilio,
    watch::{self, Board, Watcher},
    webhook,
};

/// Bytes of a file that is imported.
const IMPORT_LIMIT: usize = 32 * 1024 * 1024;

/// Runs the server until `shutdown`, then stops: no new requests and calls, those under way get
/// `server.grace` seconds, the database last.
///
/// # Errors
/// If it cannot begin, or a part of it ends by itself.
pub async fn run(config: Config, metrics: Option<PrometheusHandle>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let clock = Clock::System;
    let (bus, board) = (Bus::default(), Board::default());
    private_directory(&config.server.data)
        .with_context(|| format!("data directory {}", config.server.data.display()))?;
    let store = Store::open(&config.database_url()).await.context("database")?;
    seed(&store, &config, &clock).await.context("contacts and policies of the configuration")?;
    first::admin(&store, &clock).await.context("the first user")?;
    let node = first::node(&config).context("the name of this server")?;
    let tokens = first::tokens(&config).context("secrets of access tokens")?;
    let engine = Engine::new(store.clone(), bus.clone(), clock.clone());
    let texts = Arc::new(Texts::new(config.call.keys).context("texts")?);
    let engine = match worth_texting(&config) {
        Some(worth) => {
            let board = board.clone();
            let engine = engine.with_texts(worth).with_notices(Arc::clone(&texts));
            engine.with_outages(Arc::new(move |now| board.texts_leave(now)))
        }
        None => engine,
    };
    let script = Arc::new(Script::new(config.call.keys).context("spoken texts")?);
    let sounds = speech_settings(&config);
    let speech =
        Speech::open(sounds.clone()).with_context(|| format!("sound directory {}", sounds.directory.display()))?;
    let ivr = Ivr::new(
        store.clone(),
        engine.clone(),
        clock.clone(),
        Arc::clone(&script),
        speech.clone(),
        ivr_settings(&config),
    );

    // Both are bound before anything runs: whoever sees one port answer can count on the other.
    let agi_listener = bind(config.agi.listen).with_context(|| format!("agi.listen {}", config.agi.listen))?;
    let http_listener =
        bind(config.server.listen).with_context(|| format!("server.listen {}", config.server.listen))?;

    let acceptor = listener::acceptor(http_listener, config.server.connections, certificate(&config.server).as_ref())
        .context("TLS of the HTTP server")?;

    let grace = Duration::from_secs(config.server.grace);
    // Requests end first, then conversations, then texts, then the connection to the PBX.
    let (stop_conversations, stop_dialing) = (CancellationToken::new(), CancellationToken::new());
    let stop_texting = CancellationToken::new();
    let stop_http = CancellationToken::new();
    // Listeners leave with the requests: they would stay for ever.
    let herald = Herald::new(store.clone(), config.server.listeners, stop_http.clone()).await.context("events")?;
    let disconnect = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let mut dialing = JoinSet::new();
    let mut texting = JoinSet::new();

    let talker = ivr.clone();
    let talk = move |session| talker.clone().handle(session);
    tasks.spawn(named(
        "FastAGI",
        agi::run(agi_listener, agi_settings(&config, grace), talk, stop_conversations.clone()),
    ));
    let sender = webhook::Sender::new(&config.webhooks.allow, Duration::from_secs(config.webhooks.timeout))
        .context("HTTP client of webhooks")?;
    let notifier = Notifier::new(store.clone(), clock.clone(), sender.clone(), notifier_settings(&config.webhooks));
    tasks.spawn(named("notifier", notifier.run(stop_conversations.clone())));
    tasks.spawn(named("events", herald.clone().run(stop_conversations.clone())));
    tasks.spawn(named("engine", engine.clone().run(stop_conversations.clone())));
    tasks.spawn(named(
        "cleaning",
        cleaning::clean(
            speech.clone(),
            store.clone(),
            clock.clone(),
            cleaning::Old::of(&config),
            stop_conversations.clone(),
        ),
    ));
    let connection = config.asterisk.as_ref().map(|asterisk| connect(asterisk, disconnect.clone()));
    let client = connection.as_ref().map(|(client, _)| client.clone());
    match (connection, &config.asterisk) {
        (Some(connection), Some(asterisk)) => {
            let dialer = Dialer::new(
                store.clone(),
                engine.clone(),
                bus.clone(),
                clock.clone(),
                connection,
                dialer_settings(&config, asterisk, &speech, &board, &node),
                ivr.preparer(),
            );
            dialing.spawn(named("dialer", dialer.run(stop_dialing.clone())));
        }
        _ => tracing::error!("no PBX is configured: alerts are kept, and calls wait"),
    }
    let ways = ways(&config)?;
    if !ways.is_empty() {
        let words = Words { texts, segments: config.sms.segments, link: config.sms.link.clone() };
        let settings = texter_settings(&config, words, &board, &node, grace);
        let texter = Texter::new(store.clone(), engine.clone(), bus.clone(), clock.clone(), ways, settings);
        texting.spawn(named("texter", texter.run(stop_texting.clone())));
    }
    tasks.spawn(named("watch", {
        let engine = engine.clone();
        let looked = Arc::new(move || engine.last_look());
        let watcher = Watcher::new(store.clone(), clock.clone(), board.clone(), looked, watch_settings(&config, &node));
        watcher.run(stop_conversations.clone())
    }));
    if let Some(url) = &config.watch.heartbeat_url {
        let url = url.parse().context("watch.heartbeat_url")?;
        let every = Duration::from_secs(config.watch.heartbeat_every);
        let signs = lifesign::run(url, every, board.clone(), clock.clone(), stop_conversations.clone());
        tasks.spawn(named("signs of life", signs));
    }
    let preparing = ivr.clone();
    tokio::spawn(async move { preparing.prepare_standing().await });

    let access = Access::new(&config.api_keys, store.clone(), clock.clone(), tokens);
    let state = api::State {
        store: store.clone(),
        engine,
        bus,
        herald,
        clock,
        plan: Arc::new(config.plan.clone()),
        rules: Arc::new(config.rules()),
        script: Arc::clone(&script),
        rings: rings(&config),
        alertmanager_per: config.alertmanager.per,
        caller_id: config.asterisk.as_ref().and_then(|asterisk| asterisk.caller_id.clone()),
        ami: client,
        speech: Some(speech.clone()),
        access,
        passwords: Passwords::default(),
        login_days: config.tokens.login_days,
        watch: board,
        sender: Some(sender),
        compat: Arc::new(api::Compat::of(&config)),
        twilio: config.twilio.as_ref().and_then(callbacks),
    };
    let limits = Limits {
        body: config.server.body_limit,
        import: IMPORT_LIMIT.max(config.server.body_limit),
        time: Duration::from_secs(config.server.timeout),
        per_second: config.server.requests_per_second,
        at_once: config.server.requests_at_once,
        trusted_proxies: config.server.trusted_proxies.clone(),
        cors_origins: config.server.cors_origins.clone(),
        metrics: config.server.metrics,
        docs: config.server.docs,
        twilio: config.twilio.as_ref().and_then(callbacks).is_some(),
    };
    let app = api::app(state, limits, metrics);
    let mut http = JoinSet::new();
    http.spawn(named("HTTP", serve_http(acceptor, app, stop_http.clone(), grace)));
    tracing::info!(http = %config.server.listen, agi = %config.agi.listen, "ringdown is up");

    // A part that ends by itself is a failure of the whole: whoever supervises us starts us anew.
    let ended = tokio::select! {
        () = shutdown.cancelled() => None,
        part = tasks.join_next() => part,
        part = dialing.join_next(), if !dialing.is_empty() => part,
        part = texting.join_next(), if !texting.is_empty() => part,
        part = http.join_next() => part,
    };
    tracing::info!("stopping");
    stop_http.cancel();
    while http.join_next().await.is_some() {}
    stop_conversations.cancel();
    while tasks.join_next().await.is_some() {}
    stop_texting.cancel();
    while texting.join_next().await.is_some() {}
    stop_dialing.cancel();
    while dialing.join_next().await.is_some() {}
    disconnect.cancel();
    tracing::info!("stopped");
    match ended {
        None => Ok(()),
        Some(Ok(part)) => Err(anyhow!("{part} has ended by itself")),
        Some(Err(error)) => Err(anyhow!("a part has failed: {error}")),
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// Makes `directory`, for us alone: it holds numbers and texts.
fn private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    // Others may pass through, to the sounds, which the PBX must read.
    if directory.exists() { Ok(()) } else { fs::DirBuilder::new().recursive(true).mode(0o711).create(directory) }
}

/// Makes the file's contacts and policies, by name: once, so that what is changed or deleted later stays so.
///
/// # Errors
/// If the database does not take them.
pub async fn seed(store: &Store, config: &Config, clock: &Clock) -> anyhow::Result<()> {
    let contacts = config
        .contacts
        .iter()
        .map(|contact| ContactData {
            name: contact.name.clone(),
            language: contact.language.clone(),
            enabled: contact.enabled,
            numbers: contact.numbers(&config.plan).into_iter().map(ContactNumber::from).collect(),
            ..ContactData::default()
        })
        .collect();
    let seeds = store.by(Author::configuration(clock.now()));
    seeds.seed_contacts(contacts, clock.now()).await?;
    let mut ids = HashMap::new();
    for name in config.policies.iter().flat_map(|policy| &policy.steps).flat_map(|step| &step.targets) {
        if let Some(id) = store.contacts_named(name).await?.first() {
            ids.insert(name.clone(), *id);
        }
    }
    let policies = config.policies.iter().map(|policy| seed_policy(policy, config, &ids)).collect();
    Ok(seeds.seed_policies(policies, clock.now()).await?)
}

fn seed_policy(policy: &config::Policy, config: &Config, ids: &HashMap<String, ContactId>) -> PolicyData {
    let seconds = |seconds: u32| chrono::TimeDelta::seconds(seconds.into());
    let target = |name: &String| match ids.get(name) {
        Some(id) => Some(Target::Contact(*id)),
        None => config.plan.parse(name).ok().map(Target::Number),
    };
    let steps = policy.steps.iter().map(|step| Step {
        targets: step.targets.iter().filter_map(target).collect(),
        attempts: step.attempts,
        attempt_delay: seconds(step.attempt_delay),
        delay: seconds(step.delay),
        ..Step::default()
    });
    PolicyData {
        name: policy.name.clone(),
        policy: Policy {
            repeat: policy.repeat,
            ack_timeout: policy.ack_timeout.map(seconds),
            steps: steps.collect(),
            ..Policy::default()
        },
        is_default: policy.default,
    }
}

/// How speech is made, by the configuration.
#[must_use]
pub fn speech_settings(config: &Config) -> speech::Settings {
    let speech = &config.speech;
    speech::Settings {
        program: speech.program.clone(),
        rate: speech.rate,
        deadline: Duration::from_secs(speech.deadline),
        at_once: speech.at_once.max(1),
        directory: speech.directory.clone().unwrap_or_else(|| config.server.data.join("sounds")),
        directory_on_pbx: speech.directory_on_pbx.clone(),
        wideband: speech.wideband,
    }
}

/// The manager connection, by the configuration.
#[must_use]
pub fn ami_settings(asterisk: &config::Asterisk) -> ami::Settings {
    let mut settings = ami::Settings::new(&asterisk.address, &asterisk.user, asterisk.secret.clone());
    settings.events = dialer::EVENTS;
    // A burst of a thousand calls has some forty events each.
    settings.queue = 65_536;
    if asterisk.plain_login {
        settings.login = ami::Login::Plain;
    }
    if asterisk.tls {
        settings.tls = Some(ami::Tls { ca_file: asterisk.tls_ca.clone(), server_name: asterisk.tls_name.clone() });
    }
    settings
}

fn connect(asterisk: &config::Asterisk, shutdown: CancellationToken) -> (ami::Client, ami::Notices) {
    let (client, notices, _task) = ami::start(ami_settings(asterisk), rand::random::<f64>, shutdown);
    (client, notices)
}

fn dialer_settings(
    config: &Config,
    asterisk: &config::Asterisk,
    speech: &Speech,
    board: &Board,
    node: &str,
) -> dialer::Settings {
    dialer::Settings {
        dial: asterisk.dial.clone(),
        context: asterisk.context.clone(),
        caller_id: asterisk.caller_id.clone(),
        ring_timeout: asterisk.ring_timeout,
        capacity: Capacity { concurrent: asterisk.concurrent, per_second: asterisk.per_second },
        rules: config.rules(),
        agi_url: config.agi_url(),
        sounds: speech.directory_on_pbx().to_string_lossy().into_owned(),
        watch: board.clone(),
        keep_events: config.watch.keep_events_days > 0,
        node: node.to_owned(),
        instance: Uuid::from_u128(rand::random()),
    }
}

/// How long a text is worth sending, if there is a way to send one.
#[must_use]
pub fn worth_texting(config: &Config) -> Option<chrono::TimeDelta> {
    (!config.ways_of_texts().is_empty()).then(|| chrono::TimeDelta::seconds(config.sms.expires.into()))
}

/// The ways out that texts have, in order, by the configuration.
fn ways(config: &Config) -> anyhow::Result<Vec<Way>> {
    let mut ways: Vec<Way> =
        config.modems.iter().map(|modem| Way::modem(&modem.name, modem_settings(config, modem))).collect();
    if let Some(account) = &config.twilio {
        let twilio = Twilio::new(account.settings()).context("twilio")?;
        ways.push(Way::twilio(&account.name, twilio, twilio_settings(account)));
    }
    ways.sort_by_key(|way| config.sms.ways.iter().position(|name| name == way.name()));
    Ok(ways)
}

/// Who is believed about texts, if Twilio can reach us.
fn callbacks(account: &config::Twilio) -> Option<api::Twilio> {
    let (url, token) = (account.public_url.as_ref()?, account.token.as_ref()?);
    Some(api::Twilio::new(&account.name, url, token.clone()))
}

fn twilio_settings(account: &config::Twilio) -> texter::TwilioSettings {
    texter::TwilioSettings {
        at_once: account.at_once,
        numbers: account.numbers(),
        status_url: account.public_url.as_deref().map(|url| api::twilio_url(url, api::TWILIO_STATUS)),
        poll: account.poll(),
    }
}

/// A modem, by the configuration.
#[must_use]
pub fn modem_settings(config: &Config, configured: &config::Modem) -> modem::Settings {
    let answer = Duration::from_secs(configured.answer_within);
    modem::Settings {
        baud: configured.baud,
        pin: configured.pin.clone(),
        wrong_pins: Some(config.server.data.join("wrong-pins")),
        smsc: configured.smsc.as_deref().and_then(|smsc| smsc.parse().ok()),
        answer_within: answer,
        prompt_within: answer,
        sent_within: Duration::from_secs(configured.sent_within),
        ..modem::Settings::new(&configured.path)
    }
}

fn texter_settings(config: &Config, words: Words, board: &Board, node: &str, grace: Duration) -> texter::Settings {
    let sms = &config.sms;
    texter::Settings {
        order: match sms.order {
            config::Order::Failover => texter::Order::Failover,
            config::Order::RoundRobin => texter::Order::RoundRobin,
        },
        segments: sms.segments,
        words: Arc::new(words),
        per_hour: sms.per_hour,
        reports: sms.reports,
        retry: chrono::TimeDelta::seconds(sms.retry.into()),
        answers: answers(config),
        plan: config.plan.clone(),
        rules: config.rules(),
        watch: board.clone(),
        node: node.to_owned(),
        grace,
    }
}

/// How texts that come in are understood, by the configuration.
fn answers(config: &Config) -> Answers {
    let (call, sms) = (&config.call, &config.sms);
    let (acknowledge, escalate, resolve) = (call.keys.acknowledge, call.keys.escalate, call.keys.resolve);
    Answers {
        keys: answer::Keys { acknowledge, escalate, resolve },
        several: sms.several,
        pin_to_acknowledge: call.pin_to_acknowledge,
        limit: answer::Limit { most: sms.answers_per_hour.into(), ..answer::Limit::default() },
        alerts: sms.alerts.clone(),
    }
}

fn watch_settings(config: &Config, node: &str) -> watch::Settings {
    // A single call may ask for more than is usual.
    let longest = chrono::TimeDelta::seconds(api::LONGEST_RINGING.into());
    watch::Settings {
        every: Duration::from_secs(config.watch.audit_every),
        rings: rings(config).max(longest),
        dials: config.asterisk.is_some(),
        keep_events: chrono::TimeDelta::days(config.watch.keep_events_days.into()),
        node: node.to_owned(),
    }
}

/// How long a phone rings.
fn rings(config: &Config) -> chrono::TimeDelta {
    chrono::TimeDelta::seconds(config.asterisk.as_ref().map_or(30, |asterisk| asterisk.ring_timeout).into())
}

fn agi_settings(config: &Config, grace: Duration) -> agi::Settings {
    agi::Settings {
        allow: config.agi.allow.clone(),
        connections: config.agi.connections,
        connections_per_address: config.agi.connections,
        drain: grace,
        ..agi::Settings::default()
    }
}

fn ivr_settings(config: &Config) -> ivr::Settings {
    ivr::Settings {
        lead_in: Duration::from_millis(config.call.lead_in),
        repeat: config.call.repeat,
        wait: Duration::from_millis(config.call.wait),
        pin_to_acknowledge: config.call.pin_to_acknowledge,
    }
}

fn notifier_settings(webhooks: &config::Webhooks) -> notifier::Settings {
    notifier::Settings {
        timeout: chrono::TimeDelta::seconds(webhooks.timeout.try_into().unwrap_or(60)),
        tries: webhooks.tries,
        retry: chrono::TimeDelta::seconds(webhooks.retry.into()),
        keep: chrono::TimeDelta::days(webhooks.keep_days.into()),
        keep_dead: chrono::TimeDelta::days(webhooks.keep_dead_days.into()),
    }
}

fn certificate(server: &config::Server) -> Option<listener::Certificate> {
    let (chain, key) = (server.tls_certificate.clone()?, server.tls_key.clone()?);
    Some(listener::Certificate { chain, key })
}

async fn serve_http(
    acceptor: BoxAcceptor,
    app: impl poem::Endpoint + 'static,
    shutdown: CancellationToken,
    grace: Duration,
) {
    let server = poem::Server::new_with_acceptor(acceptor).idle_timeout(Duration::from_secs(60));
    let signal = async move { shutdown.cancelled().await };
    if let Err(error) = server.run_with_graceful_shutdown(app, signal, Some(grace)).await {
        tracing::error!(%error, "HTTP failed");
    }
}

/// Connections that the system keeps until we accept them, if it is set to keep so many. The usual 128 are
/// outstripped at once by a hundred calls that are answered together, or by a stranger; whoever finds no place is
/// heard when the system tries again, after one, three, seven seconds.
const BACKLOG: u32 = 4096;

fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // So that a restart need not wait until the last connections are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// A listener for tests and checks: whether `listen` could be bound.
///
/// # Errors
/// If it could not.
pub async fn can_bind(listen: SocketAddr) -> io::Result<()> {
    drop(TcpListener::bind(listen).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpStream, time::timeout};

    use super::*;

    #[tokio::test]
    async fn many_who_come_at_once_are_kept_until_there_is_time_for_them() {
        let kept: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        let listener = bind(([127, 0, 0, 1], 0).into()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for nth in 0..kept.min(1000) {
            let connected = timeout(Duration::from_secs(30), TcpStream::connect(address)).await;
            waiting.push(connected.unwrap_or_else(|_| panic!("no place for the {nth}th")).unwrap());
        }
    }
}
