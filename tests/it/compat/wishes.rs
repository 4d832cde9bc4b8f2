//! Calls that are to be placed in a way of their own: it is in the rows, and no other call gets it.

use chrono::TimeDelta;
use ringdown::{
    engine::{Alert, DirectCall, PolicyChoice},
    escalation::{Connect, Method, Placing, Policy, Step, Target},
    id::IncidentId,
    store::CallFilter,
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert},
};

const ANN: &str = "+393331234501";

on_both_databases! {
    a_call_with_wishes_is_joined_by_none_and_joins_none
    the_method_is_in_the_incidents_own_copy_of_the_policy
}

fn direct(to: &Target, placing: Placing) -> DirectCall {
    let (to, text, source) = (to.clone(), "x".to_owned(), "a test".to_owned());
    DirectCall { to, text, attempts: 1, attempt_delay: 60, source, schedule: None, placing }
}

async fn a_call_with_wishes_is_joined_by_none_and_joins_none(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let connect = Connect { context: "ivr".into(), extension: "s".into(), priority: 1 };
    let wishes = Placing { timeout: Some(9), caller_id: Some("+39055".into()), connect: Some(Box::new(connect)) };
    let call_of = async |incident: IncidentId| {
        let filter = CallFilter { incident: Some(incident), ..CallFilter::default() };
        let calls = scene.store.calls(filter, 10).await.expect("an answer").items;
        assert_eq!(calls.len(), 1);
        calls[0].id
    };
    let place = async |placing: Placing| {
        let placed = scene.engine.place(direct(&ann, placing)).await.expect("it is stored");
        call_of(placed).await
    };
    let first = place(wishes.clone()).await;
    let usual = place(Placing::default()).await;
    let second = place(wishes.clone()).await;
    let joins = place(Placing::default()).await;
    assert!(first != usual && second != first && second != usual);
    assert_eq!(joins, usual, "one call for what is like others");
    let placing = async |call| scene.store.placing_of(call).await.expect("an answer");
    assert_eq!((placing(first).await, placing(second).await), (wishes.clone(), wishes));
    assert!(placing(usual).await.is_usual() && placing(joins).await.is_usual());
}

async fn the_method_is_in_the_incidents_own_copy_of_the_policy(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let step = Step { targets: vec![ann], attempts: 1, ..Step::default() };
    scene.policy("compat", Policy { steps: vec![step], follow_edits: true, ..Policy::default() }, false).await;
    let wait = TimeDelta::seconds(120);
    for (key, method) in [("a", Method::Call), ("b", Method::CallAndSms), ("c", Method::SmsThenCall { wait })] {
        let by_method = PolicyChoice::ByMethod("compat".into(), method.clone());
        let id = scene.raise(Alert { policy: by_method, ..alert(key) }).await;
        let policy = scene.incident(id).await.policy.expect("a policy");
        assert_eq!((&policy.steps[0].method, policy.follow_edits), (&method, false), "{key}");
    }
    let there = scene.store.policy("compat").await.expect("an answer").expect("a policy").policy;
    assert_eq!((&there.steps[0].method, there.follow_edits), (&Method::Call, true), "itself it is as it was");
}

#[test]
fn a_method_goes_to_all_steps_the_last_resort_too_and_stays() {
    let policy = Policy { steps: vec![Step::default(), Step::default()], follow_edits: true, ..Policy::default() };
    let policy = policy.by_method(&Method::CallAndSms);
    assert!(policy.all_steps().all(|step| step.method == Method::CallAndSms) && !policy.follow_edits);
}
