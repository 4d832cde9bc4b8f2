//! The address book in the store, on both databases: who is found, who may be deleted.

mod imports;

use crate::harness::author;
use std::collections::BTreeSet;

use chrono::TimeDelta;
use ringdown::{
    escalation::{OnExhausted, Policy, Target},
    id::{ContactId, GroupId},
    store::{
        ContactCursor, ContactData, ContactFilter, Deletion, Error, Group, GroupData, ImportRow, ScheduleData, Store,
    },
};
use sea_orm::ConnectionTrait;

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, evening, number, step},
};
use imports::{import, import_windows, options, row, window_row};

on_both_databases! {
    a_contact_is_found_by_the_beginnings_of_what_they_are
    what_is_edited_is_found_as_it_is_now
    tags_groups_and_switches_narrow_a_search
    common_beginnings_are_found_as_rare_ones_are
    a_list_shows_everybody_once_while_others_come_and_go
    contacts_of_an_older_version_are_indexed_when_the_store_is_opened
    of_two_editors_one_wins
    nobody_is_deleted_who_is_used
    a_group_is_not_deleted_while_a_policy_names_it
    a_group_keeps_its_order_and_its_name_to_itself
}

fn named(name: &str, surname: &str, numbers: &[&str]) -> ContactData {
    let numbers = numbers.iter().map(|text| number(text).into()).collect();
    ContactData { name: name.into(), surname: surname.into(), numbers, ..ContactData::default() }
}

async fn add(store: &Store, data: ContactData) -> ContactId {
    store.by(author()).create_contact(data, evening()).await.expect("it is stored")
}

async fn version(store: &Store, id: ContactId) -> i64 {
    store.contact(id).await.expect("an answer").expect("a contact").version
}

/// The first names of everybody who is found, in their order.
async fn found(store: &Store, filter: ContactFilter) -> Vec<String> {
    let page = store.contacts(&filter, None, 100).await.expect("an answer");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|contact| contact.data.name).collect()
}

async fn search(store: &Store, query: &str) -> Vec<String> {
    found(store, ContactFilter { prefix: Some(query.into()), ..ContactFilter::default() }).await
}

async fn a_contact_is_found_by_the_beginnings_of_what_they_are(database: Database) {
    let store = database.store().await;
    add(&store, named("Ana María", "Öztürk", &["+393331234567", "8123"])).await;
    add(&store, ContactData { email: "ben@example.com".into(), ..named("Ben", "Ana_100%", &["+442071838750"]) }).await;
    add(&store, named("Čeda", "", &[])).await;
    let both = vec!["Ana María", "Ben"];
    for (query, expected) in [
        ("ana", both.clone()),
        ("ANA", both.clone()),
        ("an öz", vec!["Ana María"]),
        ("özt", vec!["Ana María"]),
        ("mar", vec!["Ana María"]),
        ("marí", vec!["Ana María"]),
        ("maría x", vec![]),
        ("zt", vec![]),
        ("če", vec!["Čeda"]),
        ("ben@exa", vec!["Ben"]),
        ("+39 333", vec!["Ana María"]),
        ("0039-333", vec!["Ana María"]),
        ("333 12", vec!["Ana María"]),
        ("020 7183", vec!["Ben"]),
        ("8123", vec!["Ana María"]),
        ("123", vec![]),
        // Nothing is a wildcard.
        ("%", vec![]),
        ("_", vec![]),
        ("ana_", both.clone()),
        ("a%a", vec!["Ana María", "Ben"]),
        ("100%", vec!["Ben"]),
        ("\\", vec![]),
        ("*", vec![]),
        ("'; DROP TABLE contact; --", vec![]),
        ("", vec!["Ana María", "Ben", "Čeda"]),
    ] {
        assert_eq!(search(&store, query).await, expected, "{query:?}");
    }
}

async fn what_is_edited_is_found_as_it_is_now(database: Database) {
    let store = database.store().await;
    let id = add(&store, named("Ana", "Rossi", &["+393331234567"])).await;
    let data = named("Ana", "Bianchi", &["+393331234568"]);
    store.by(author()).update_contact(id, 1, data, evening()).await.expect("it is stored");
    assert_eq!(search(&store, "ross").await, Vec::<String>::new());
    assert_eq!(search(&store, "393331234567").await, Vec::<String>::new());
    assert_eq!(search(&store, "bian").await, ["Ana"]);
    assert_eq!(search(&store, "393331234568").await, ["Ana"]);
    assert_eq!(store.by(author()).delete_contact(id, 2, evening()).await, Ok(Deletion::Deleted));
    assert_eq!(search(&store, "ana").await, Vec::<String>::new());
    assert_eq!(store.contact(id).await, Ok(None));
}

async fn tags_groups_and_switches_narrow_a_search(database: Database) {
    let store = database.store().await;
    let tagged = |name, tags: &[&str]| ContactData {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..named(name, "Rossi", &[])
    };
    let ana = add(&store, tagged("Ana", &["Ops", "night shift"])).await;
    let ben = add(&store, ContactData { enabled: false, ..tagged("Ben", &["ops"]) }).await;
    add(&store, tagged("Cem", &["opsen"])).await;
    let members = vec![ben, ana];
    let data = GroupData { name: "ops".into(), members, ..GroupData::default() };
    let group = store.by(author()).create_group(data, evening()).await.expect("it is stored");
    let filter = ContactFilter::default;
    let tag = |tag: &str| ContactFilter { tag: Some(tag.into()), ..filter() };
    assert_eq!(found(&store, tag("OPS")).await, ["Ana", "Ben"]);
    assert_eq!(found(&store, tag("op")).await, Vec::<String>::new());
    assert_eq!(found(&store, tag("night shift")).await, ["Ana"]);
    assert_eq!(search(&store, "#ops").await, Vec::<String>::new(), "a tag is no name");
    assert_eq!(found(&store, ContactFilter { group: Some(group), ..filter() }).await, ["Ana", "Ben"]);
    assert_eq!(found(&store, ContactFilter { enabled: Some(false), ..filter() }).await, ["Ben"]);
    let all =
        ContactFilter { prefix: Some("ross".into()), tag: Some("ops".into()), group: Some(group), enabled: Some(true) };
    assert_eq!(found(&store, all).await, ["Ana"]);
    let nobody = ContactFilter { group: Some(GroupId::generate()), ..filter() };
    assert_eq!(found(&store, nobody).await, Vec::<String>::new());
    let groups = store.groups_of(&[ana, ben]).await.expect("an answer");
    assert_eq!(groups[&ana], ["ops"]);
}

/// More contacts begin alike than are looked up one by one: another way, the same answer.
async fn common_beginnings_are_found_as_rare_ones_are(database: Database) {
    let store = database.store().await;
    let rows = (0..1700).map(|n| ImportRow {
        name: format!("Anna {n:04}"),
        surname: Some(if n % 100 == 0 { "Öz".into() } else { "Rossi".into() }),
        first_number: Some(number(&format!("+39333{n:07}"))),
        ..row(n + 2, "", "")
    });
    let report = import(&store, rows.collect(), options()).await;
    assert_eq!(report.created, 1700);
    let page = async |query: &str, cursor: Option<ContactCursor>| {
        let filter = ContactFilter { prefix: Some(query.into()), ..ContactFilter::default() };
        let page = store.contacts(&filter, cursor.as_ref(), 10).await.expect("an answer");
        (page.items.into_iter().map(|contact| contact.data.name).collect::<Vec<_>>(), page.next)
    };
    let (first, next) = page("ann", None).await;
    assert_eq!(first, (0..10).map(|n| format!("Anna {n:04}")).collect::<Vec<_>>());
    assert_eq!(page("ann", next).await.0[0], "Anna 0010");
    let (oez, next) = page("ann öz", None).await;
    assert_eq!(oez, (0..10).map(|n| format!("Anna {:04}", n * 100)).collect::<Vec<_>>());
    assert_eq!(page("öz ann", next).await.0.len(), 7);
    assert_eq!(page("anna 1234", None).await.0, ["Anna 1234"]);
}

async fn a_list_shows_everybody_once_while_others_come_and_go(database: Database) {
    let store = database.store().await;
    let mut ids = Vec::new();
    for n in 0..250 {
        // Many are called the same: the order goes on by their identifiers.
        ids.push(add(&store, named(&format!("Person {:02}", n / 10), "", &[])).await);
    }
    let mut seen = Vec::new();
    let mut cursor: Option<ContactCursor> = None;
    for round in 0.. {
        let page = store.contacts(&ContactFilter::default(), cursor.as_ref(), 30).await.expect("an answer");
        seen.extend(page.items.iter().map(|contact| contact.id));
        let Some(next) = page.next else { break };
        // The text of it is all that a client has.
        let next: ContactCursor = next.to_string().parse().expect("a cursor");
        // Somebody before and somebody behind; and whom the cursor names is gone.
        add(&store, named("Aaron", "", &[])).await;
        add(&store, named(&format!("Zoe {round}"), "", &[])).await;
        let last = page.items.last().expect("a contact");
        if round == 1 {
            assert_eq!(
                store.by(author()).delete_contact(last.id, last.version, evening()).await,
                Ok(Deletion::Deleted)
            );
        }
        cursor = Some(next);
    }
    let ours: Vec<ContactId> = seen.iter().copied().filter(|id| ids.contains(id)).collect();
    assert_eq!(ours, ids, "everybody who was there all the time, once, in order");
    assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len(), "and nobody twice");
}

async fn contacts_of_an_older_version_are_indexed_when_the_store_is_opened(database: Database) {
    let store = database.store().await;
    for n in 0..3 {
        add(&store, named(&format!("Ana {n}"), "", &["+393331234567"])).await;
    }
    let connection = sea_orm::Database::connect(database.url.replace("sqlite:", "sqlite://")).await.expect("it opens");
    connection.execute_unprepared("DELETE FROM contact_term").await.expect("it is done");
    assert_eq!(search(&store, "ana").await, Vec::<String>::new());
    let again = database.store().await;
    assert_eq!(search(&again, "ana").await, ["Ana 0", "Ana 1", "Ana 2"]);
    assert_eq!(search(&again, "333").await.len(), 3);
}

async fn of_two_editors_one_wins(database: Database) {
    let (store, other) = (database.store().await, database.store().await);
    let id = add(&store, named("Ana", "", &[])).await;
    let hands = (store.by(author()), other.by(author()));
    let (one, two) = tokio::join!(
        hands.0.update_contact(id, 1, named("One", "", &[]), evening()),
        hands.1.update_contact(id, 1, named("Two", "", &[]), evening()),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    assert_eq!(one.and(two), Err(Error::Conflict));
    assert_eq!(
        store.by(author()).set_contact_pin(id, 1, Some("$argon2id$".into()), evening()).await,
        Err(Error::Conflict)
    );
    assert_eq!(store.by(author()).delete_contact(id, 1, evening()).await, Err(Error::Conflict));
    store.by(author()).set_contact_pin(id, 2, Some("$argon2id$".into()), evening()).await.expect("it is stored");
    let there = store.contact(id).await.expect("an answer").expect("a contact");
    assert_eq!((there.version, there.pin_hash.as_deref()), (3, Some("$argon2id$")));
    // Editing leaves the PIN alone.
    store.by(author()).update_contact(id, 3, named("Three", "", &[]), evening()).await.expect("it is stored");
    assert!(store.contact(id).await.expect("an answer").expect("a contact").pin_hash.is_some());
}

async fn nobody_is_deleted_who_is_used(database: Database) {
    let scene = Scene::on(&database).await;
    let store = &scene.store;
    let ana = scene.contact("Ana", &["+393331234567"]).await;
    let ben = scene.contact("Ben", &["+393331234568"]).await;
    let policy = Policy {
        steps: vec![step(&[Target::Contact(ben)], 1, 60, 60), step(&[Target::Contact(ana)], 1, 60, 60)],
        on_exhausted: Some(OnExhausted::LastResort(step(&[Target::Contact(ana)], 1, 60, 60))),
        ..Policy::default()
    };
    scene.policy("night", policy, true).await;
    let ops = GroupData { name: "ops".into(), members: vec![ana], ..GroupData::default() };
    store.by(author()).create_group(ops, evening()).await.expect("it is stored");
    let windows = vec![window_row(2, "Ana", evening(), 3600), window_row(3, "Ana", evening() - TimeDelta::days(9), 60)];
    assert_eq!(import_windows(store, windows).await.created, 2);
    let web = serde_json::json!({
        "zone": "UTC",
        "layers": [{ "name": "days", "rotation": {
            "participants": [ana], "start": "2026-01-01T00:00:00", "every": 1, "unit": "weeks" } }],
    });
    let schedule = serde_json::from_value(web).expect("a schedule");
    let data = ScheduleData { name: "web".into(), description: String::new(), schedule };
    let web = store.by(author()).create_schedule(data, evening()).await.expect("it is stored");

    let used = [
        "group ops",
        "policy night, step 2",
        "policy night, last resort",
        "schedule oncall, window until 2027-01-15 09:00",
        "schedule web, layer days",
    ];
    assert_eq!(store.where_used(ana, evening()).await.expect("an answer"), used);
    let refused = store.by(author()).delete_contact(ana, version(store, ana).await, evening()).await;
    assert_eq!(refused, Ok(Deletion::UsedIn(used.map(str::to_owned).to_vec())));
    assert!(store.contact(ana).await.expect("an answer").is_some());
    assert_eq!(search(store, "ana").await, ["Ana"], "nothing of them is gone");
    let later = evening() + TimeDelta::hours(2);
    let used = store.where_used(ana, later).await.expect("an answer");
    assert!(!used.iter().any(|place| place.contains("window")), "what is over refers to nobody: {used:?}");

    scene
        .policy("night", Policy { steps: vec![step(&[Target::Contact(ben)], 1, 60, 60)], ..Policy::default() }, true)
        .await;
    assert_eq!(store.by(author()).delete_schedule(web, 1).await, Ok(Deletion::Deleted));
    let group = group(store, "ops").await;
    assert_eq!(store.by(author()).delete_group(group.id, group.version).await, Ok(Deletion::Deleted));
    assert_eq!(store.by(author()).delete_contact(ana, version(store, ana).await, later).await, Ok(Deletion::Deleted));
    assert_eq!(store.oncall_windows(None).await, Ok(Vec::new()));
}

async fn group(store: &Store, name: &str) -> Group {
    store.group_named(name).await.expect("an answer").expect("a group")
}

async fn a_group_is_not_deleted_while_a_policy_names_it(database: Database) {
    let scene = Scene::on(&database).await;
    let data = GroupData { name: "ops".into(), ..GroupData::default() };
    let id = scene.store.by(author()).create_group(data, evening()).await.expect("it is stored");
    scene
        .policy("night", Policy { steps: vec![step(&[Target::Group(id)], 1, 60, 60)], ..Policy::default() }, true)
        .await;
    let places = vec!["policy night, step 1".to_owned()];
    assert_eq!(scene.store.by(author()).delete_group(id, 1).await, Ok(Deletion::UsedIn(places)));
    scene.policy("night", Policy::default(), true).await;
    assert_eq!(scene.store.by(author()).delete_group(id, 2).await, Err(Error::Conflict));
    assert_eq!(scene.store.by(author()).delete_group(id, 1).await, Ok(Deletion::Deleted));
    assert_eq!(scene.store.group(id).await, Ok(None));
}

async fn a_group_keeps_its_order_and_its_name_to_itself(database: Database) {
    let store = database.store().await;
    let mut people = Vec::new();
    for name in ["Ana", "Ben", "Cem"] {
        people.push(add(&store, named(name, "", &[])).await);
    }
    let group = |name: &str, members: &[ContactId]| GroupData {
        name: name.into(),
        description: "who is there".into(),
        members: members.to_vec(),
    };
    let order = [people[2], people[0], people[1]];
    let id = store.by(author()).create_group(group("ops", &order), evening()).await.expect("it is stored");
    assert_eq!(store.group_members(id).await.expect("an answer"), order);
    assert_eq!(store.by(author()).create_group(group("ops", &[]), evening()).await, Err(Error::Conflict));
    let other = store.by(author()).create_group(group("web", &[]), evening()).await.expect("it is stored");
    assert_eq!(store.by(author()).update_group(other, 1, group("ops", &[]), evening()).await, Err(Error::Conflict));
    let nobody = ContactId::generate();
    assert_eq!(store.by(author()).update_group(id, 1, group("ops", &[nobody]), evening()).await, Err(Error::Conflict));
    assert_eq!(store.group_members(id).await.expect("an answer"), order, "a refusal changes nothing");
    store.by(author()).update_group(id, 1, group("ops", &people[..1]), evening()).await.expect("it is stored");
    assert_eq!(store.by(author()).update_group(id, 1, group("late", &[]), evening()).await, Err(Error::Conflict));
    let groups = store.groups().await.expect("an answer");
    let names: Vec<_> = groups.iter().map(|group| (&*group.data.name, group.version)).collect();
    assert_eq!(names, [("ops", 2), ("web", 1)]);
}
