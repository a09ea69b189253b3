//! Gaussian noise in plans: how it is sized and divided, whose δ counts, what is refused.

use query_planner::catalog::SiteName;
use query_planner::disclosure::Revealed;
use query_planner::grants::check;
use query_planner::noise::gaussian::Rho;
use query_planner::noise::{Asked, Delta, Law, Mechanism, Noise, Shape};
use query_planner::plan::Ring;
use query_planner::site_policy::SitePolicy;
use query_planner::{Audience, Catalog, Compiled, JointPlan, Language, Options, PlanError, explain, plan};

use super::{BUDGET, OPTIONS, asking, catalog_of, figures, settings};

fn asking_gaussian(epsilon: &str, delta_digits: impl Into<Option<u32>>) -> Options {
    let mechanism = Mechanism::Gaussian { delta_digits: delta_digits.into() };
    Options { noise: Some(Asked { epsilon: epsilon.parse().unwrap(), mechanism }), ..OPTIONS }
}

fn noised(sql: &str, more: &[&str]) -> Result<Compiled, PlanError> {
    plan(sql, &catalog_of(&settings(more)), &asking_gaussian("1", 6))
}

fn noise(compiled: &Compiled) -> &Noise {
    compiled.joint.noise.as_ref().unwrap()
}

fn part(compiled: &Compiled) -> u64 {
    match noise(compiled).shape {
        Shape::Gaussian { each: Rho(each), .. } => each,
        Shape::Laplace { .. } => panic!("Gaussian noise is asked for"),
    }
}

/// Slot, Δ₁ and Δ₂² of each noised slot of the first sum.
fn moved(sql: &str) -> Vec<(usize, u64, u128)> {
    let compiled = noised(sql, &["tables.person.columns.year_of_birth.range=[1900, 2030]"]).unwrap();
    compiled.joint.sums[0].noised.iter().map(|noised| (noised.slot, noised.sensitivity, noised.squares)).collect()
}

#[test]
fn the_squares_of_what_one_patient_moves_are_summed_over_groups() {
    // Three sites, five rows of a patient at each, which may be in one group.
    assert_eq!(moved("SELECT COUNT(*) FROM measurement"), [(0, 15, 225)]);
    assert_eq!(moved("SELECT score, COUNT(*) FROM measurement WHERE score = 7 GROUP BY score").len(), 1);
    assert_eq!(moved("SELECT AVG(score) FROM measurement"), [(1, 1500, 2_250_000), (2, 15, 225)]);
    // A matched patient is 1 in each of three groups (two values and NULL): the squares sum to three and not to nine.
    let grouped = "SELECT gender_concept_id, COUNT(DISTINCT person_id) FROM person GROUP BY gender_concept_id";
    assert_eq!(moved(grouped)[0], (0, 3, 3));
    assert_eq!(moved("SELECT COUNT(DISTINCT person_id) FROM drug_exposure"), [(0, 1, 1)]);
}

#[test]
fn figures_share_rho_and_each_ones_variance_is_its_squares_over_twice_its_part() {
    let one = noised("SELECT COUNT(*) FROM measurement", &[]).unwrap();
    let two = noised("SELECT AVG(score) FROM measurement", &[]).unwrap();
    assert_eq!(part(&two), part(&one) / 2);
    for compiled in [&one, &two] {
        for noised in &compiled.joint.sums[0].noised {
            let Law::Gaussian { variance } = noise(compiled).law(noised) else { panic!("Gaussian noise is asked for") };
            let asked = noised.squares as f64 / 2.0 / (part(compiled) as f64 / 1e15);
            assert!(variance as f64 >= asked && (variance as f64) < asked + 2.0, "{variance} for {asked}");
            let printed = noise(compiled).standard_deviation(noised, 3);
            assert!((printed - (3.0 * variance as f64).sqrt()).abs() < 1e-6, "each of three sites adds all of it");
        }
    }
    // With honest sites a share is smaller.
    let sites = ["A", "B", "C"].map(|site| format!("sites.hospital_{site}.privacy.honest_sites=3"));
    let digits = ["A", "B", "C"].map(|site| format!("sites.hospital_{site}.privacy.delta_digits_per_release=6"));
    let counted: Vec<&str> = sites.iter().chain(&digits).map(String::as_str).collect();
    let three = noised("SELECT COUNT(*) FROM measurement", &counted).unwrap();
    let of = |compiled: &Compiled| noise(compiled).standard_deviation(&compiled.joint.sums[0].noised[0], 3);
    let ratio = of(&one) / of(&three);
    assert!((ratio - 3f64.sqrt()).abs() < 0.01, "{ratio}");
}

#[test]
fn of_many_figures_gaussian_noise_is_less_than_laplace_noise_and_of_one_it_is_more() {
    let averages = |count: usize| {
        let averages: Vec<String> = (0..count).map(|k| format!("AVG(LEAST(score, {}))", 50 + k)).collect();
        format!("SELECT {} FROM measurement", averages.join(", "))
    };
    let ratio = |sql: &str| {
        let deviation = |options: &Options| {
            let compiled = plan(sql, &catalog_of(&settings(&[])), options).unwrap();
            noise(&compiled).standard_deviation(&compiled.joint.sums[0].noised[0], 3)
        };
        deviation(&asking_gaussian("1", 6)) / deviation(&asking("1"))
    };
    let [one, many] = [ratio("SELECT COUNT(*) FROM measurement"), ratio(&averages(20))];
    println!("of one figure {one:.2} times, of forty {many:.2} times the deviation of Laplace noise");
    assert!(one > 2.0 && many < 0.8, "{one}, {many}");
}

#[test]
fn a_mechanism_is_of_the_whole_plan() {
    let sql = "SELECT gender_concept_id, COUNT(*), AVG(year_of_birth) FROM person GROUP BY gender_concept_id";
    let compiled = noised(sql, &["tables.person.columns.year_of_birth.range=[1900, 2030]", "min_patients=11"]).unwrap();
    let sums = &compiled.joint.sums;
    let of = |noised| matches!(noise(&compiled).law(noised), Law::Gaussian { .. });
    assert!(sums.iter().flat_map(|sum| &sum.noised).all(of));
    let text = String::from_utf8(compiled.joint.canonical_bytes()).unwrap();
    assert!(!text.contains("laplace") && text.contains("gaussian"));
    assert_eq!(JointPlan::from_canonical(text.as_bytes()).unwrap(), compiled.joint);
    // ε, δ and the kind are agreed.
    let digest = |options: &Options| plan(sql, &catalog(""), options).unwrap().joint.digest();
    let all = [digest(&asking("1")), digest(&asking_gaussian("1", 6)), digest(&asking_gaussian("1", 7))];
    assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
}

/// Every site publishes a budget with this besides.
fn catalog(besides: &str) -> Catalog {
    let mut settings = settings(&["tables.person.columns.year_of_birth.range=[1900, 2030]"]);
    if !besides.is_empty() {
        let policy = SitePolicy::from_toml(&format!("{BUDGET}{besides}")).unwrap();
        ["hospital_A", "hospital_B", "hospital_C"].iter().for_each(|site| settings.publish(site, &policy));
    }
    catalog_of(&settings)
}

#[test]
fn delta_is_what_is_asked_for_or_else_the_smallest_that_a_policy_names() {
    let sql = "SELECT COUNT(*) FROM person";
    let of = |besides: &str, options: &Options| {
        plan(sql, &catalog(besides), options).map(|compiled| noise(&compiled).delta()).map_err(|error| error.code)
    };
    let gaussian = |digits: Option<u32>| asking_gaussian("0.5", digits);
    assert_eq!(of("", &gaussian(None)), Err("BAD_DELTA"), "nobody says");
    assert_eq!(of("", &gaussian(Some(6))), Ok(Delta::of_digits(6)));
    assert_eq!([2, 19].map(|digits| of("", &gaussian(Some(digits)))), [Err("BAD_DELTA"); 2]);
    assert_eq!(of("delta_digits = 5", &gaussian(None)), Ok(Delta::of_digits(7)), "of a hundred answers");
    assert_eq!(of("delta_digits = 5\ndelta_digits_per_release = 6", &gaussian(None)), Ok(Delta::of_digits(6)));
    assert_eq!(of("delta_digits = 5", &gaussian(Some(9))), Ok(Delta::of_digits(9)), "less may be asked for");
    assert_eq!(of("delta_digits = 5", &gaussian(Some(6))), Err("DELTA_TOO_LARGE"), "more may not");
    assert_eq!(of("honest_sites = 1", &gaussian(Some(6))), Err("MECHANISM_NOT_ALLOWED"), "no δ, no Gaussian noise");
    let laplace = asking("0.5");
    assert_eq!(of("delta_digits = 5", &laplace), Ok(Delta(0)));
    let alone = "delta_digits = 5\nmechanisms = [\"gaussian\"]";
    assert_eq!(
        [of(alone, &laplace), of(alone, &gaussian(None))],
        [Err("MECHANISM_NOT_ALLOWED"), Ok(Delta::of_digits(7))]
    );
}

#[test]
fn of_different_sites_the_smallest_delta_counts() {
    let mut settings = settings(&[]);
    for (site, digits) in [("hospital_A", 5), ("hospital_B", 8), ("hospital_C", 6)] {
        settings.publish(site, &SitePolicy::from_toml(&format!("{BUDGET}delta_digits = {digits}")).unwrap());
    }
    let asked = plan("SELECT COUNT(*) FROM person", &catalog_of(&settings), &asking_gaussian("0.5", None));
    assert_eq!(noise(&asked.unwrap()).delta(), Delta::of_digits(10));
}

#[test]
fn a_site_judges_by_its_own_policy_too() {
    let site = SiteName::from("hospital_A");
    let joint = plan("SELECT COUNT(*) FROM person", &catalog(""), &asking_gaussian("0.5", 6)).unwrap().joint;
    let code = |besides: &str| {
        let policy = SitePolicy::from_toml(&format!("{BUDGET}{besides}")).unwrap();
        check(&joint, &site, &policy, None).map_err(|error| error.code)
    };
    assert_eq!(code("delta_digits = 4"), Ok(()));
    assert_eq!(code("delta_digits = 5"), Err("DELTA_TOO_LARGE"));
    assert_eq!(code(""), Err("MECHANISM_NOT_ALLOWED"));
    assert_eq!(code("delta_digits = 4\nmechanisms = [\"laplace\"]"), Err("MECHANISM_NOT_ALLOWED"));
}

#[test]
fn rings_hold_gaussian_noise_or_it_is_refused() {
    let long = ["tables.measurement.rows_per_patient=60000", "min_patients=11"];
    let [catalog, hiding] = [1, 2].map(|sets| catalog_of(&settings(&long[..sets])));
    let of = |sql: &str, catalog: &Catalog, epsilon: &str| {
        let compiled = plan(sql, catalog, &asking_gaussian(epsilon, 6)).map_err(|error| error.code)?;
        let noised = compiled.joint.sums[0].noised[0];
        let slot = &compiled.joint.sums[0].slots[noised.slot];
        let reach = 9.0 * noise(&compiled).standard_deviation(&noised, 1);
        assert!(reach < 2f64.powi(slot.partial_bits as i32), "nine deviations are within {} bits", slot.partial_bits);
        Ok(slot.ring)
    };
    let sum = "SELECT SUM(cost) FROM measurement";
    assert_eq!([of(sum, &catalog, "1"), of(sum, &catalog, "0.0001")], [Ok(Ring::Z64), Err("NOISE_TOO_WIDE")]);
    assert_eq!(of(sum, &catalog, "0.000001"), Err("EPSILON_TOO_SMALL"), "the slack of shares takes it all");
    let pairs =
        "SELECT COUNT(*) FROM hospital_A.measurement a JOIN hospital_A.measurement b ON a.person_id = b.person_id";
    assert_eq!(of(pairs, &hiding, "1"), Ok(Ring::Z64));
    assert_eq!(of(pairs, &hiding, "0.00001"), Err("NOISE_TOO_WIDE"));
}

#[test]
fn the_promise_and_each_figures_noise_are_told_before_the_run() {
    let compiled = noised("SELECT COUNT(*), AVG(score) FROM measurement", &["min_patients=11"]).unwrap();
    let text = explain::explain(&compiled);
    for part in [
        "discrete Gaussian, ε = 1, δ = 10^-6\n",
        "at most e^1 times the probability that it has without that patient's data, plus 10^-6\n",
        "one patient moves it by at most 1500\n",
        "in Euclidean length by at most 1500.0, standard deviation",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let english = explain::disclosures(&compiled.joint, Language::English);
    assert!(english.contains("discrete Gaussian noise") && english.contains("(δ = 10^-6)"), "{english}");
    let chinese = explain::disclosures(&compiled.joint, Language::Chinese);
    assert!(chinese.contains("离散高斯") && chinese.contains("（δ = 10^-6）"), "{chinese}");
    assert!(english.contains("standard deviation of the noise, in each group: the number of rows "), "{english}");
    assert!(chinese.contains("每个分组中噪声的标准差：行数 "), "{chinese}");
    let everyone = Options { audience: Audience::Everyone, ..asking_gaussian("1", 6) };
    assert!(plan("SELECT COUNT(*) FROM person", &catalog(""), &everyone).is_ok());
    // Nothing of δ stands where there is none.
    let laplace = plan("SELECT COUNT(*) FROM measurement", &catalog(""), &asking("1")).unwrap();
    assert_eq!(figures(&laplace).len(), 1);
    assert!(!explain::disclosures(&laplace.joint, Language::English).contains("δ ="));
}

#[test]
fn what_the_disclosure_says_of_each_figures_deviation_is_not_below_it_and_near() {
    let more = ["sites.hospital_A.privacy.honest_sites=2", "sites.hospital_A.privacy.delta_digits_per_release=6"];
    for options in [asking("0.5"), asking_gaussian("0.5", 6)] {
        // Sums of two decimals too.
        let sql = "SELECT COUNT(*), AVG(score), SUM(cost) FROM measurement";
        let joint = plan(sql, &catalog_of(&settings(&more)), &options).unwrap().joint;
        let told = joint.disclosures.iter().find_map(|disclosure| match &disclosure.what {
            Revealed::Noised { figures, .. } => Some(figures.clone()),
            _ => None,
        });
        let (told, noised) = (told.unwrap(), &joint.sums[0].noised);
        assert_eq!(told.len(), noised.len());
        for (told, noised) in told.iter().zip(noised) {
            let unit = if format!("{:?}", told.figure).contains("cost") { 100.0 } else { 1.0 };
            let exact = joint.noise.as_ref().unwrap().standard_deviation(noised, 3) / unit;
            let said = told.tenths as f64 / 10.0;
            assert!(said >= exact - 1e-9 && said < 1.001 * exact + 0.2, "{said} for {exact}");
        }
    }
}
