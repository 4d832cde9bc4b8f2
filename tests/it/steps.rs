//! What happens to many calls at the same moment, on both databases: it shares statements, and each has its own.

use std::collections::HashSet;

use futures_util::future::join_all;
use ringdown::{
    escalation::Target,
    id::CallId,
    store::{CallFilter, Error, Said},
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{NODE, Scene, alert, no_answer, no_route, number, once},
};

on_both_databases! {
    steps_of_many_calls_at_once_are_each_taken_once
}

async fn steps_of_many_calls_at_once_are_each_taken_once(database: Database) {
    let numbers: Vec<_> = (0..30).map(|n| Target::Number(number(&format!("+3933312350{n:02}")))).collect();
    let scene = Scene::on(&database).await;
    scene.policy("usual", once(&numbers), true).await;
    let id = scene.raise(alert("disk")).await;
    let calls = scene.pending().await;
    assert_eq!(calls.len(), 30);
    scene.store.claim_calls(&calls, NODE, scene.now()).await.expect("an answer");
    let (store, now) = (&scene.store, scene.now());
    // Asterisk's events and the AGI session tell the same, and each call's steps come at once with the others'.
    let night = calls.iter().enumerate().map(async |(nth, call)| {
        let rings = async || store.call_rings(call, now).await;
        let answers = async || store.call_answered(call, now).await;
        let (first, second) = futures_util::join!(rings(), rings());
        first.and(second)?;
        let (first, second) = futures_util::join!(answers(), answers());
        first.and(second)?;
        store.speaking(call, id, now).await?;
        let ms = i64::try_from(nth).expect("few");
        let (first, second) = futures_util::join!(store.heard(call.id, ms, false), store.heard(call.id, 100, nth == 7));
        first.and(second)?;
        store.said(call.id, id, Said::Unanswered).await?;
        // Two kinds of ends in one batch.
        let end = |nth: usize| if nth.is_multiple_of(3) { no_route() } else { no_answer() };
        let end = async || store.end_call(call.id, end(nth), None, now).await;
        let (first, second) = futures_util::join!(end(), end());
        Ok::<_, Error>((first?, second?))
    });
    for ended in join_all(night).await {
        let (first, second) = ended.expect("it is stored");
        assert!(first != second, "each end is told once");
    }
    let mut all = scene.store.calls(CallFilter::default(), 1000).await.expect("an answer").items;
    all.reverse();
    for (nth, call) in all.iter().enumerate() {
        assert_eq!(call.heard.ms, 100 + i64::try_from(nth).expect("few"), "the {nth}th");
        assert_eq!(call.heard.whole, nth == 7);
        let (_, end) = call.end.as_ref().expect("it is over");
        assert_eq!(end.found_route, !nth.is_multiple_of(3), "each has its own end");
        assert!(call.ringing_at.is_some() && call.answered_at.is_some());
        let told = scene.store.call_timeline(call.id).await.expect("an answer");
        let kinds: Vec<_> = told.iter().map(|event| std::mem::discriminant(&event.entry.fact)).collect();
        assert_eq!(kinds.len(), 6, "queued, calling, rings, answered, speaking, over: {told:?}");
        assert_eq!(kinds.iter().collect::<HashSet<_>>().len(), 6, "each once");
        let carried = scene.store.carried_by(call.id).await.expect("an answer");
        assert_eq!(carried[0].said, Said::Unanswered);
    }
    assert_eq!(scene.store.end_call(CallId::generate(), no_answer(), None, now).await, Ok(false));
    let one = scene.store.session(calls[3].id).await.expect("an answer").expect("it is there");
    assert_eq!((one.call.id, one.carried.len()), (calls[3].id, 1));
}
