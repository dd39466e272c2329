//! The programs and pods that are exempt by default: the documentation has each name, in the order of the program's lists.

use clockgate::container::exemption::{Rule, built_in};

use super::read;

/// The lists that the page has not, as the program has them.
fn missing<'a>(page: &str, lists: &'a [String]) -> Vec<&'a String> {
    lists.iter().filter(|list| !page.contains(list.as_str())).collect()
}

fn list(name: impl Fn(&Rule) -> Option<String>) -> String {
    let names: Vec<String> = built_in().iter().filter_map(name).map(|name| format!("`{name}`")).collect();
    assert!(names.len() > 10, "{names:?}");
    format!(": {}.", names.join(", "))
}

#[test]
fn every_program_and_pod_that_is_exempt_by_default_is_in_the_documentation() {
    let lists = [
        list(|rule| match rule {
            Rule::Command(pattern) => Some(pattern.to_string()).filter(|name| name != "clockgate"),
            Rule::CommandInPod(_) | Rule::Pod(_) | Rule::StaticPod => None,
            Rule::Image(_) | Rule::Name(_) | Rule::Namespace(_) | Rule::Annotation(..) => None,
        }),
        list(|rule| if let Rule::CommandInPod(pattern) = rule { Some(pattern.to_string()) } else { None }),
        list(|rule| if let Rule::Pod(pattern) = rule { Some(pattern.to_string()) } else { None }),
    ];
    let page = read("docs/containers.md").split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(missing(&page, &lists), Vec::<&String>::new());
    // One name less, one more, and another order.
    for (from, to) in [
        ("`anetd-*`, ", ""),
        ("`chronyd`, ", "`chronyd`, `x`, "),
        ("`bird`, `bird6`", "`bird6`, `bird`"),
        ("`longhorn-system/engine-image-*`", "`engine-image-*`"),
    ] {
        assert!(page.contains(from), "{from}");
        assert_eq!(missing(&page.replace(from, to), &lists).len(), 1, "{from}");
    }
}
