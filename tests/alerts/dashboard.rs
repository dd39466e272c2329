//! The dashboard as a file: what Grafana needs to import it, and which metrics it shows.

use std::collections::BTreeSet;

use clockgate::metrics::FAMILIES;
use serde_json::Value;

use crate::{parsed, shipped};

pub fn importable() {
    let board: Value = serde_json::from_str(&shipped::text(shipped::DASHBOARD).unwrap()).unwrap();
    assert_eq!((&board["uid"], &board["title"]), (&"clockgate".into(), &"clockgate".into()));
    assert!(board["schemaVersion"].as_u64().unwrap() >= 36, "the first that knows data sources by uid in each query");
    let variables: Vec<_> =
        board["templating"]["list"].as_array().unwrap().iter().map(|one| (&one["name"], &one["type"])).collect();
    assert_eq!(variables, [(&"datasource".into(), &"datasource".into()), (&"instance".into(), &"query".into())]);
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in board["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        assert!(panel["description"].as_str().unwrap().ends_with('.'), "{title}: says what it shows");
        let place = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        for (x, y) in (0..place[2]).flat_map(|x| (0..place[3]).map(move |y| (x, y))) {
            assert!(
                place[0] + x < 24 && places.insert((place[0] + x, place[1] + y)),
                "{title}: over another, or outside"
            );
        }
        for part in panel["targets"].as_array().unwrap().iter().chain([panel]) {
            assert_eq!(part["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
    for panel in shipped::panels().unwrap() {
        assert!(!panel.queries.is_empty() && panel.queries.iter().all(|query| !query.is_empty()), "{}", panel.title);
        for query in panel.queries.iter().filter(|query| !query.contains("ALERTS{")) {
            assert_eq!(query.matches("instance=~\"$instance\"").count(), query.matches("{instance").count(), "{query}");
            assert!(query.contains("$instance"), "{query}");
        }
    }
}

pub fn metrics() {
    let documented: BTreeSet<String> = FAMILIES.iter().map(|family| family.name.to_owned()).collect();
    let shown: BTreeSet<String> = shipped::panels()
        .unwrap()
        .iter()
        .flat_map(|panel| &panel.queries)
        .flat_map(|query| parsed::metrics(query))
        .collect();
    let compared: BTreeSet<String> = parsed::rules().iter().flat_map(|rule| parsed::metrics(&rule.expr)).collect();
    assert!(documented.is_subset(&shown), "not in the dashboard: {:?}", documented.difference(&shown));
    assert!(shown.is_subset(&documented), "there is no metric {:?}", shown.difference(&documented));
    assert!(compared.is_subset(&documented), "there is no metric {:?}", compared.difference(&documented));
    assert_eq!(
        parsed::metrics("sum(a) + clockgate_a_bucket{le=\"1\"} or rate(clockgate_b_total[1m])"),
        ["clockgate_a".to_owned(), "clockgate_b_total".to_owned()].into()
    );
}
