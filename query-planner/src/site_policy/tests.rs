use super::*;
use crate::catalog::ColumnType;
use crate::noise::Kind;

const FILE: &str = r#"
classes = ["count", "table"]
analysts = ["ada"]
min_patients = 11
max_groups = 64

[columns.Person]
person_id = ["link"]
gender_concept_id = ["filter", "group"]
Year_Of_Birth = { uses = ["filter", "sum"], clamp = [1900, 2030] }

[matching]
min_patients = 20
max_patients = 100000

[released_tables]
k_anonymous = 10
l_diverse = 2
sensitive = ["Person.gender_concept_id"]

[releases]
most = 100
days = 30

[opt_out]
file = "opt_out.csv"

[[approve]]
classes = ["count"]

[privacy]
epsilon = "4.0"
most_per_release = "1.0"
epsilon_in_all = "9.0"
delta_digits = 5
"#;

fn refused(text: &str) -> PlanError {
    let error = SitePolicy::from_toml(text).unwrap_err();
    assert_eq!(error.code, "BAD_POLICY", "{error}");
    error
}

#[test]
fn a_policy_allows_what_it_names_and_nothing_else() {
    let policy = SitePolicy::from_toml(FILE).unwrap();
    assert!(policy.allows("PERSON", "gender_concept_id", Purpose::Group));
    assert!(policy.allows("person", "year_of_birth", Purpose::Sum));
    assert!(!policy.allows("person", "year_of_birth", Purpose::Group));
    assert!(!policy.allows("measurement", "person_id", Purpose::Link));
    assert!(policy.allows_class(Class::Count) && !policy.allows_class(Class::Sum));
    assert!(policy.allows_analyst("ada") && !policy.allows_analyst("eve"));
    let empty = SitePolicy::from_toml("").unwrap();
    assert_eq!(empty, SitePolicy::default());
    assert!(Class::ALL.iter().all(|class| !empty.allows_class(*class)));
    assert!(Purpose::ALL.iter().all(|purpose| !empty.allows("person", "person_id", *purpose)));
    assert!(Purpose::ALL.iter().all(|purpose| SitePolicy::open().allows("t", "x", *purpose)));
}

#[test]
fn a_policy_comes_back_from_its_file_with_the_same_digest() {
    let policy = SitePolicy::from_toml(FILE).unwrap();
    for policy in [policy.clone(), policy.published(), SitePolicy::open(), SitePolicy::default()] {
        let again = SitePolicy::from_toml(&policy.to_toml()).unwrap();
        assert_eq!((again.digest(), &again), (policy.digest(), &policy), "{}", policy.to_toml());
    }
    assert_ne!(policy.digest(), policy.published().digest());
    assert_ne!(SitePolicy::open().digest(), SitePolicy::default().digest());
}

#[test]
fn mistakes_are_named_with_their_place_and_what_was_meant() {
    let error = refused("classes = []\n[columns.person]\nx = { uses = [], clmap = [0, 1] }");
    assert!(error.message.starts_with("line 3, column 18: unknown key 'columns.person.x.clmap'"), "{error}");
    assert_eq!(error.hint.as_deref(), Some("did you mean 'columns.person.x.clamp'?"));
    let error = refused("\nmin_patient = 3");
    assert!(error.message.starts_with("line 2, column 1: "), "{error}");
    assert_eq!(error.hint.as_deref(), Some("did you mean 'min_patients'?"));
    let error = refused("[columns.person]\nsex = [\"filtre\"]");
    assert!(error.message.contains("line 2, column 7") && error.message.contains("did you mean 'filter'?"), "{error}");
    let error = refused("classes = [\"counts\"]");
    assert!(error.message.contains("line 1, column 11") && error.message.contains("did you mean 'count'?"), "{error}");
    let error = refused("[columns.person]\nsex = \"filter\"");
    assert!(error.message.contains("line 2, column 7") && error.message.contains("a list of purposes"), "{error}");
    let error = refused("[releases]\nmost = 3\ndays = 0");
    assert!(error.message.starts_with("line 3, column 1: releases.days is 1 to"), "{error}");
    let error = refused("[[approve]]\nclases = []");
    assert_eq!(error.hint.as_deref(), Some("did you mean 'approve.classes'?"));
    for text in [
        "min_patients = 0",
        "min_sites = 1",
        "max_groups = 0",
        "classes =",
        "[columns.t]\nx = { clamp = [1.5, 2.5] }",
        "[columns.t]\nx = [\"sum\"]\nX = [\"sum\"]",
        "[released_tables]\nk_anonymous = 0",
        "[released_tables]\nl_diverse = 2",
        "[released_tables]\nsensitive = [\"gender\"]",
        "[released_tables]\nsensitiv = [\"person.gender\"]",
        "[matching]\nmin_patients = 3\nmax_patients = 2",
        "[privacy]\nepsilon = \"much\"\nmost_per_release = \"1\"",
        "[privacy]\nepsilon = \"-1\"\nmost_per_release = \"1\"",
        "[privacy]\nepsilon = \"1\"\nmost_per_release = \"1\"\nepsilon_in_all = 4",
        "[privacy]\nepsilon = \"1\"\nmost_per_release = \"1\"\nepsilon_in_all = \"all\"",
        "[privacy]\ndelta_digits = 2",
        "[privacy]\ndelta_digits_in_all = 19",
        "[privacy]\ndelta_digits = 6\ndelta_digits_per_release = 5",
        "[privacy]\nmechanisms = [\"gaussian\"]",
        "[privacy]\nmechanisms = [\"gauss\"]",
    ] {
        refused(text);
    }
}

#[test]
fn what_is_published_leaves_the_sites_own_affairs_out() {
    let policy = SitePolicy::from_toml(FILE).unwrap();
    let published = policy.published();
    assert_eq!((&published.columns, published.min_patients), (&policy.columns, Some(11)));
    assert_eq!((published.releases, &published.opt_out), (None, &None));
    // That it answers with noise is public, how small an answer's δ has to be, and on how many sites it counts; its budget is not.
    let privacy = Privacy { honest_sites: Some(1), delta_digits_per_release: Some(7), ..Privacy::default() };
    assert_eq!(published.privacy, Some(privacy));
    assert!(published.approve.is_empty());
    let silent = SitePolicy::from_toml(&format!("tell_reasons = false\n{FILE}")).unwrap().published();
    assert!(silent.allow_all && silent.analysts.is_none());
    // Every silent site publishes the same: no site that allows everything allows this one by that.
    assert_eq!(silent.classes, [Class::Intersection].into());
    assert_eq!(silent.min_patients, Some(11), "numbers are needed to plan");
    assert_eq!(silent.released_tables, policy.released_tables);
    assert!(silent.released_tables.sensitive.contains("person.gender_concept_id"), "names are in lower case");
    let clamped: Vec<&String> = silent.columns.values().flat_map(|columns| columns.keys()).collect();
    assert_eq!(clamped, ["year_of_birth"]);
    assert!(silent.columns["person"]["year_of_birth"].uses.is_empty());
}

#[test]
fn a_clamp_is_read_in_the_columns_unit() {
    let of = |text: &str| {
        let policy = SitePolicy::from_toml(&format!("[columns.t]\nx = {{ clamp = {text} }}")).unwrap();
        policy.column("t", "x").unwrap().clamp.clone().unwrap()
    };
    let decimal = ColumnType::Decimal { precision: 10, scale: 2 };
    assert_eq!(of("[0, \"1.5\"]").bounds(decimal), Some((0, 150)));
    assert_eq!(of("[-3, 7]").bounds(ColumnType::Int), Some((-3, 7)));
    assert_eq!(of("[7, 3]").bounds(ColumnType::Int), None);
    assert_eq!(of("[0, \"1.5\"]").bounds(ColumnType::Int), None);
    assert_eq!(of("[0, 1]").bounds(ColumnType::Text), None);
}

#[test]
fn the_first_rule_that_covers_every_class_approves() {
    let text =
        "[[approve]]\nclasses = [\"count\"]\nanalysts = [\"ada\"]\n[[approve]]\nclasses = [\"count\", \"table\"]";
    let policy = SitePolicy::from_toml(text).unwrap();
    assert_eq!(policy.approved_by(&[Class::Count], "ada"), Some(0));
    assert_eq!(policy.approved_by(&[Class::Count], "eve"), Some(1));
    assert_eq!(policy.approved_by(&[Class::Count, Class::Table], "ada"), Some(1));
    assert_eq!(policy.approved_by(&[Class::Count, Class::Sum], "ada"), None);
    assert_eq!(policy.approved_by(&[], "ada"), None);
}

#[test]
fn two_persons_are_two_stewards_with_a_key_each() {
    let (one, two) = ("1f".repeat(32), "2e".repeat(32));
    let file = |stewards: &str| format!("two_persons = true\nstewards = {stewards}\n");
    let policy = SitePolicy::from_toml(&file(&format!("{{ ada = \"{one}\", bob = \"{two}\" }}"))).unwrap();
    assert_eq!(policy.stewards.len(), 2);
    assert_eq!(SitePolicy::from_toml(&policy.to_toml()).unwrap(), policy);
    // Who they are is the site's own affair, and part of what an approval is given under.
    assert!(!policy.published().two_persons && policy.published().stewards.is_empty());
    assert_ne!(policy.digest(), SitePolicy { stewards: Default::default(), ..policy.clone() }.digest());
    assert!(refused("two_persons = true\n").message.contains("at least two stewards"));
    assert!(refused(&file(&format!("{{ ada = \"{one}\" }}"))).message.contains("line 2"));
    assert!(refused(&file(&format!("{{ ada = \"{one}\", bob = \"{one}\" }}"))).message.contains("same key"));
    assert!(refused(&format!("stewards = {{ ada = \"{}\" }}\n", &one[1..])).message.contains("64"));
    assert!(refused(&format!("stewards = {{ ada = \"{}\" }}\n", one.to_uppercase())).message.contains("lower-case"));
}

#[test]
fn the_strictest_delta_and_the_kinds_that_both_allow_count() {
    let privacy = |text: &str| SitePolicy::from_toml(&format!("[privacy]\n{text}")).unwrap().published();
    let [laplace, both, gaussian] =
        ["", "delta_digits = 5", "delta_digits = 6\nmechanisms = [\"gaussian\"]"].map(privacy);
    let joined = |a: &SitePolicy, b: &SitePolicy| {
        let privacy = a.clone().with_numbers_of(b).privacy.unwrap();
        (privacy.allows(Kind::Laplace), privacy.allows(Kind::Gaussian), privacy.release_digits())
    };
    for (a, b, expected) in [
        (&laplace, &laplace, (true, false, None)),
        (&laplace, &both, (true, false, Some(7))),
        (&both, &gaussian, (false, true, Some(8))),
        (&laplace, &gaussian, (false, false, Some(8))),
    ] {
        assert_eq!([joined(a, b), joined(b, a)], [expected; 2]);
        let once = a.clone().with_numbers_of(b);
        assert_eq!(once.clone().with_numbers_of(&once), once);
    }
}
