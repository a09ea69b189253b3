//! Normalisation, schemas and keys on small texts, and properties of all steps on random ones.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use arrow::array::StringArray;
use proptest::prelude::*;

use super::steps::normalise;
use super::*;

/// The steps of a linkage file's list.
fn steps(list: &str) -> Vec<Step> {
    schema(&format!("[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"c\"\nsteps = {list}"))
        .passes
        .remove(0)
        .parts
        .remove(0)
        .steps
}

fn schema(passes: &str) -> Schema {
    parse(passes).unwrap()
}

fn parse(passes: &str) -> Result<Schema, NodeError> {
    Schema::from_toml(&format!("study = \"s\"\nduplicates = \"first\"\n{passes}"))
}

fn refused(list: &str) -> NodeError {
    parse(&format!("[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"c\"\nsteps = {list}")).unwrap_err()
}

fn done(list: &str, text: &str) -> Result<String, Fault> {
    normalise(&steps(list), Some(text)).map(|text| text.as_str().to_owned())
}

fn ok(list: &str, text: &str) -> String {
    done(list, text).unwrap()
}

const NAME: &str = r#"["nfkc", "casefold", "strip_diacritics", "strip_spaces", "strip_punctuation"]"#;
const NUMBER: &str = r#"["nfkc", "strip_spaces", "strip_hyphens", "casefold", { check = "gb11643" }]"#;
const DATE: &str =
    r#"["nfkc", "strip_spaces", { dates = ["yyyy-mm-dd", "yyyy.mm.dd", "dd/mm/yyyy", "yyyymmdd", "yyyy年m月d日"] }]"#;

#[test]
fn one_name_in_many_spellings_is_one_name() {
    let spellings = [
        "María José",
        "MARIA JOSE",
        " maria  josé",
        "Mari\u{301}a-Jose\u{301}",
        "ｍａｒｉａ　ｊｏｓｅ",
        "María\u{200e}José",
    ];
    let names: BTreeSet<String> = spellings.iter().map(|name| ok(NAME, name)).collect();
    assert_eq!(names, BTreeSet::from(["mariajose".to_owned()]));
    assert_eq!(ok(NAME, "O’Brien"), ok(NAME, "o'brien"));
    assert_eq!(ok(NAME, "Weiß"), ok(NAME, "WEISS"));
}

#[test]
fn a_composed_letter_equals_its_letter_and_accent_even_where_accents_count() {
    assert_eq!(ok(r#"["nfkc"]"#, "é"), ok(r#"["nfkc"]"#, "e\u{301}"));
    assert_ne!(ok(r#"["nfkc"]"#, "é"), ok(r#"["nfkc"]"#, "e"));
}

#[test]
fn a_step_that_takes_something_out_spells_all_texts_alike() {
    for step in ["strip_spaces", "strip_hyphens", "strip_punctuation", "strip_controls", "strip_diacritics"] {
        let list = format!("[\"{step}\"]");
        let spellings = ["ガ", "カ\u{3099}", "カ\u{3099} -\u{200b}"].map(|text| ok(&list, text));
        assert_eq!(spellings[0], spellings[1], "{step}");
        assert!(spellings[2].starts_with(&spellings[0]), "{step}");
    }
}

#[test]
fn names_in_other_scripts_survive() {
    for name in ["王小明", "欧阳娜娜", "買買提", "ガブリエル", "がく", "김철수", "आदित्य", "Нина", "محمد"]
    {
        assert_eq!(ok(NAME, name), name.to_lowercase(), "{name}");
    }
    assert_eq!(ok(NAME, "买买提·吐尔逊"), "买买提吐尔逊");
    // A variant selector is not seen; the compatibility form of a character is the character.
    assert_eq!(ok(r#"["strip_controls"]"#, "葛\u{e0100}城"), "葛城");
    assert_eq!(ok(r#"["nfkc"]"#, "\u{f9dc}"), "隆");
}

#[test]
fn width_folds_widths_and_nothing_else() {
    assert_eq!(ok(r#"["width"]"#, "９９９Ｘ－ＡＢ　ｶﾞ"), "999X-AB ガ");
    assert_eq!(ok(r#"["width"]"#, "ﬁ²①"), "ﬁ²①");
    assert_eq!(ok(r#"["nfkc"]"#, "ﬁ²①"), "fi21");
}

#[test]
fn hyphens_of_all_kinds_go_and_the_long_vowel_of_kana_stays() {
    assert_eq!(ok(r#"["strip_hyphens"]"#, "a-b‐c‑d–e—f−g－h\u{ad}i"), "abcdefghi");
    assert_eq!(ok(r#"["strip_hyphens"]"#, "ローラ"), "ローラ");
}

#[test]
fn invisible_characters_change_no_name() {
    let name = "a\u{0}b\u{202e}c\u{200b}d\u{feff}e\u{2066}f";
    assert_eq!(ok(r#"["strip_controls"]"#, name), "abcdef");
    assert_eq!(ok(r#"["strip_punctuation"]"#, name), "abcdef");
    assert_eq!(done(r#"["strip_controls"]"#, "\u{0}\u{202e}"), Err(Fault::Missing));
}

#[test]
fn digits_only_leaves_digits_and_refuses_those_of_other_scripts() {
    assert_eq!(ok(r#"["digits_only"]"#, "1,234"), "1234");
    assert_eq!(ok(r#"["nfkc", "digits_only"]"#, "MRN-００７１"), "0071");
    assert_eq!(done(r#"["digits_only"]"#, "１2"), Err(Fault::OtherNumerals));
    assert_eq!(done(r#"["nfkc", "digits_only"]"#, "٣4"), Err(Fault::OtherNumerals));
    assert_eq!(done(r#"["digits_only"]"#, "none"), Err(Fault::Missing));
}

#[test]
fn an_empty_value_is_missing_whatever_the_steps() {
    for list in ["[]", r#"["nfkc"]"#, DATE, NUMBER] {
        assert_eq!(normalise(&steps(list), None), Err(Fault::Missing));
        for text in ["", "   ", "\u{3000}"] {
            assert_eq!(done(list, text), Err(Fault::Missing), "{list}");
        }
    }
    assert_eq!(done(r#"["strip_punctuation"]"#, "- -"), Err(Fault::Missing));
    let absent = r#"["casefold", { absent = ["unknown", "不详"] }]"#;
    assert_eq!(done(absent, "UNKNOWN"), Err(Fault::Missing));
    assert_eq!(done(absent, "不详"), Err(Fault::Missing));
    assert_eq!(ok(absent, "Unknowns"), "unknowns");
}

#[test]
fn a_prefix_counts_characters() {
    assert_eq!(ok(r#"["nfkc", { prefix = 2 }]"#, "e\u{301}mile"), "ém");
    assert_eq!(ok(r#"[{ prefix = 2 }]"#, "王小明"), "王小");
    assert_eq!(ok(r#"[{ prefix = 2 }]"#, "x"), "x");
}

#[test]
fn declared_dates_become_iso_and_others_are_unreadable() {
    for text in
        ["1947-11-28", "1947.11.28", "28/11/1947", "19471128", "1947年11月28日", "１９４７－１１－２８", " 1947-11-28 "]
    {
        assert_eq!(ok(DATE, text), "1947-11-28", "{text}");
    }
    assert_eq!(ok(DATE, "1995年7月3日"), "1995-07-03");
    for text in ["47-11-28", "1947-11-28x", "1947-1-28", "28-11-1947", "11/28/1947", "1,947", "1947-11", "+947-11-28"] {
        assert_eq!(done(DATE, text), Err(Fault::UnreadableDate), "{text}");
    }
}

#[test]
fn days_that_do_not_exist_are_unreadable() {
    for text in ["1996-02-29", "2000-02-29", "2024-02-29", "1999-12-31"] {
        assert_eq!(ok(DATE, text), text);
    }
    for text in [
        "1995-02-29",
        "1900-02-29",
        "1995-02-30",
        "1995-04-31",
        "1995-13-01",
        "1995-00-10",
        "1995-01-00",
        "0000-01-01",
        "9999-01-01",
    ] {
        assert_eq!(done(DATE, text), Err(Fault::UnreadableDate), "{text}");
    }
}

#[test]
fn forms_that_read_a_text_as_two_days_are_refused() {
    let both = refused(r#"[{ dates = ["dd/mm/yyyy", "mm/dd/yyyy"] }]"#);
    assert!(both.message.contains("dd/mm/yyyy and mm/dd/yyyy"), "{both}");
    assert!(refused(r#"[{ dates = ["d.m.yyyy", "mm.dd.yyyy"] }]"#).message.contains("different days"));
    assert!(refused(r#"[{ dates = ["yyyyddmm", "yyyymmdd"] }]"#).message.contains("different days"));
    // The same day in both: no harm.
    steps(r#"[{ dates = ["dd/mm/yyyy", "d/m/yyyy", "yyyymmdd", "ddmmyyyy", "mm-dd-yyyy"] }]"#);
    for form in ["yy-mm-dd", "yyyy-mm", "yyyy-mm-dd-dd", "yyyymd", "ymd", "", "1d/m/yyyy"] {
        assert!(
            refused(&format!(r#"[{{ dates = ["{form}"] }}]"#)).message.contains("is not a form of a date"),
            "{form}"
        );
    }
}

#[test]
fn codes_are_those_declared() {
    let sex =
        r#"["nfkc", "strip_spaces", "casefold", { codes = { m = ["male", "男", "1"], f = ["female", "女", "2"] } }]"#;
    for text in ["M", "m", "Male", "男", "1", "１"] {
        assert_eq!(ok(sex, text), "m", "{text}");
    }
    assert_eq!(ok(sex, "女 "), "f");
    assert_eq!(done(sex, "9"), Err(Fault::UnknownCode));
    assert!(refused(r#"[{ codes = { m = ["1"], f = ["1"] } }]"#).message.contains("'1' stands for two codes"));
    assert!(refused(r#"[{ codes = { m = ["f"], f = [] } }]"#).message.contains("'f' stands for two codes"));
}

/// Numbers that their authorities or standards print as examples.
const PUBLISHED: [(&str, &str); 11] = [
    ("gb11643", "11010519491231002X"),       // GB 11643-1999, its own example
    ("gb11643", "440524188001010014"),       // GB 11643-1999, its own example
    ("iso7064_mod11_2", "0000000218250097"), // ORCID's example record
    ("iso7064_mod11_2", "000000012146438X"), // an ISNI whose check is ten
    ("iso7064_mod11_2", "07940"),            // ISO 7064's worked example
    ("iso7064_mod97_10", "79444"),           // ISO 7064's worked example
    ("luhn", "79927398713"),                 // the usual example of the algorithm
    ("nhs", "9434765919"),                   // NHS Data Dictionary's kind of example
    ("bsn", "111222333"),                    // the test number of Dutch software
    ("verhoeff", "1234567890120"),           // Rosetta Code's longest
    ("verhoeff", "2363"),                    // Verhoeff's method worked through
];

#[test]
fn published_numbers_pass_their_rule() {
    for (rule, number) in PUBLISHED {
        assert_eq!(ok(&format!(r#"[{{ check = "{rule}" }}]"#), number), number, "{rule}");
    }
}

#[test]
fn one_wrong_digit_is_always_found() {
    for (rule, number) in PUBLISHED {
        let steps = steps(&format!(r#"[{{ check = "{rule}" }}]"#));
        for at in 0..number.len() {
            for digit in ('0'..='9').chain(['X']).filter(|digit| !number[at..].starts_with(*digit)) {
                let wrong = format!("{}{digit}{}", &number[..at], &number[at + 1..]);
                assert_eq!(normalise(&steps, Some(&wrong)), Err(Fault::CheckDigit), "{rule} {wrong}");
            }
        }
    }
}

#[test]
fn what_is_no_number_of_its_kind_does_not_pass() {
    let kinds = ["gb11643", "iso7064_mod11_2", "iso7064_mod97_10", "luhn", "nhs", "bsn", "verhoeff"];
    for rule in kinds {
        for text in ["1", "X", "0", "abc", "１１", "-1", "1 1", "é", "000000000", "0000000000"] {
            assert_eq!(done(&format!(r#"[{{ check = "{rule}" }}]"#), text), Err(Fault::CheckDigit), "{rule} {text}");
        }
    }
    // A right check digit, on 30 February: 17 digits and the character that makes the polynomial 1 modulo 11.
    let body = "11010519490230002";
    let polynomial = |number: &str| number.bytes().fold(0, |sum, c| (sum * 2 + u32::from(c - b'0')) % 11);
    let check = (0..11).find(|check| (polynomial(body) * 2 + check) % 11 == 1).unwrap();
    let number = format!("{body}{}", if check == 10 { "X".to_owned() } else { check.to_string() });
    assert_eq!(ok(r#"[{ check = "iso7064_mod11_2" }]"#, &number), number);
    assert_eq!(done(r#"[{ check = "gb11643" }]"#, &number), Err(Fault::CheckDigit));
}

#[test]
fn a_citizen_number_is_the_same_in_any_width_case_and_grouping() {
    for text in [
        "11010519491231002X",
        "11010519491231002x",
        "１１０１０５１９４９１２３１００２Ｘ",
        "110105 19491231 002X",
        "110105-19491231-002X ",
    ] {
        assert_eq!(ok(NUMBER, text), "11010519491231002x", "{text}");
    }
}

#[test]
fn unknown_words_are_refused_with_the_nearest_one() {
    for (list, near) in [
        (r#"["nfck"]"#, "did you mean 'nfkc'?"),
        (r#"[{ prefx = 2 }]"#, "did you mean 'prefix'?"),
        (r#"[{ check = "gb11634" }]"#, "did you mean 'gb11643'?"),
        (r#"["prefix"]"#, "write { prefix = … }"),
    ] {
        let error = refused(list);
        assert_eq!((&*error.code, error.hint.as_deref()), ("BAD_LINKAGE", Some(near)));
    }
    let top = |text: &str| Schema::from_toml(text).unwrap_err().hint.unwrap_or_default();
    assert_eq!(top("studdy = \"s\""), "did you mean 'study'?");
    assert_eq!(top("study = \"s\"\nduplicates = \"frist\""), "did you mean 'first'?");
    assert_eq!(top("further_key = { patients = 1, each = 1 }"), "did you mean 'further_keys'?");
    assert_eq!(top("further_keys = { patient = 1, each = 1 }"), "did you mean 'patients'?");
    assert_eq!(top("study = \"s\"\n[[passes]]\nnme = \"x\""), "did you mean 'name'?");
    assert_eq!(top("study = \"s\"\n[[passes]]\n[[passes.parts]]\ncolum = \"x\""), "did you mean 'column'?");
}

#[test]
fn a_bound_of_further_keys_has_both_numbers_and_is_part_of_the_agreement() {
    let pass = "[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"c\"\n";
    for bad in ["{ patients = 1 }", "{ each = 1 }", "{ patients = 0, each = 1 }", "{ patients = 1, each = 0 }", "3"] {
        assert_eq!(parse(&format!("further_keys = {bad}\n{pass}")).unwrap_err().code, "BAD_LINKAGE", "{bad}");
    }
    assert!(parse(&format!("further_keys = {{ patients = 1, each = 16 }}\n{pass}")).is_err());
    let declared = parse(&format!("further_keys = {{ patients = 9, each = 2 }}\n{pass}")).unwrap();
    assert_eq!(declared.further_keys.unwrap(), query_planner::linkage::FurtherKeys { patients: 9, each: 2 });
    assert_ne!(declared.digest(), schema(pass).digest());
}

#[test]
fn what_makes_no_key_is_refused() {
    let pass = "[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \"c\"\n";
    for passes in [
        "",
        "[[passes]]\nname = \"n\"\nparts = []",
        "[[passes]]\nname = \"n\"\n[[passes.parts]]\ncolumn = \" \"",
        &format!("{pass}{pass}"),
        &format!("{pass}steps = [{{ prefix = 0 }}]"),
        &format!("{pass}steps = [{{ prefix = -1 }}]"),
        &format!("{pass}steps = [{{ dates = [] }}]"),
        &format!("{pass}steps = [{{ prefix = 1, check = \"luhn\" }}]"),
        &format!("{pass}steps = [3]"),
        &format!("{pass}steps = \"nfkc\""),
    ] {
        assert_eq!(parse(passes).unwrap_err().code, "BAD_LINKAGE", "{passes}");
    }
    assert_eq!(Schema::from_toml("study = \" \"\nduplicates = \"first\"").unwrap_err().code, "BAD_LINKAGE");
    assert_eq!(Schema::from_toml("study = \"a\\nb\"\nduplicates = \"first\"").unwrap_err().code, "BAD_LINKAGE");
}

#[test]
fn the_digest_is_of_the_content_and_not_of_its_writing() {
    let text =
        "study=\"s\"\nduplicates='first'\n[[passes]]\nname=\"n\"\nparts = [{ column = \"C\", steps = [\"nfkc\"] }]";
    let same = "# a comment\nduplicates = \"first\"\nstudy = \"s\"\n[[passes]]\n[[passes.parts]]\nsteps = [\"nfkc\"]\ncolumn = \"c\"\n[passes.name]";
    let same = same.replace("[passes.name]", "").replace("[[passes]]", "[[passes]]\nname = \"n\"");
    let digest = |text: &str| Schema::from_toml(text).unwrap().digest();
    assert_eq!(digest(text), digest(&same));
    for (from, to) in
        [("\"s\"", "\"t\""), ("first", "refuse"), ("nfkc", "width"), ("\"C\"", "\"d\""), ("\"n\"", "\"m\"")]
    {
        assert_ne!(digest(text), digest(&text.replace(from, to)), "{from} {to}");
    }
}

/// Keys of records with the columns a, b, … of a schema whose passes take them as they stand.
fn keyed(duplicates: &str, passes: &[&[&str]], rows: &[&[Option<&str>]]) -> Keyed {
    keyed_in("s", duplicates, passes, rows)
}

fn keyed_in(study: &str, duplicates: &str, passes: &[&[&str]], rows: &[&[Option<&str>]]) -> Keyed {
    let mut text = format!("study = \"{study}\"\nduplicates = \"{duplicates}\"\n");
    for (i, columns) in passes.iter().enumerate() {
        text += &format!("[[passes]]\nname = \"pass {i}\"\n");
        columns.iter().for_each(|column| text += &format!("[[passes.parts]]\ncolumn = \"{column}\"\n"));
    }
    let schema = Schema::from_toml(&text).unwrap();
    let letter = |name: &str| usize::from(name.as_bytes()[0] - b'a');
    let column = |name: &&str| rows.iter().map(|row| row[letter(name)]).collect::<StringArray>();
    keys(&schema, &schema.columns().iter().map(column).collect::<Vec<_>>()).unwrap()
}

#[test]
fn the_border_between_parts_the_study_the_pass_and_the_order_are_part_of_the_key() {
    let rows: &[&[Option<&str>]] = &[&[Some("ab"), Some("c")], &[Some("a"), Some("bc")], &[Some("c"), Some("ab")]];
    let one = keyed("first", &[&["a", "b"], &["a", "b"], &["b", "a"], &["a"]], rows);
    let other = keyed_in("t", "first", &[&["a", "b"]], rows);
    let all: Vec<u128> =
        one.passes.iter().chain(&other.passes).flat_map(|p| p.as_slice()).map(|key| key.unwrap().0).collect();
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    let again = keyed("first", &[&["a", "b"]], rows);
    assert!(again.passes[0] == one.passes[0]);
}

#[test]
fn a_record_with_an_empty_part_has_no_key_and_is_counted_by_column() {
    let rows: &[&[Option<&str>]] =
        &[&[Some("x"), None], &[None, None], &[Some("x"), Some("y")], &[Some(""), Some("y")]];
    let found = keyed("first", &[&["a", "b"], &["a"]], rows);
    let has = |pass: usize| found.passes[pass].as_slice().iter().map(Option::is_some).collect::<Vec<_>>();
    assert_eq!((has(0), has(1)), (vec![false, false, true, false], vec![true, false, true, false]));
    let parts = &found.report.passes[0].parts;
    assert_eq!((parts[0].missing, parts[1].missing), (2, 2));
    assert_eq!((found.report.records, found.report.without_key, found.report.patients), (4, 2, 1));
}

#[test]
fn duplicates_are_treated_as_declared() {
    let rows: &[&[Option<&str>]] = &[&[Some("x")], &[Some("y")], &[Some("x")], &[None], &[Some("x")]];
    let kept = |rule: &str| {
        let keys = keyed(rule, &[&["a"]], rows).matchable().unwrap();
        keys[0].as_slice().iter().map(Option::is_some).collect::<Vec<_>>()
    };
    assert_eq!(kept("first"), [true, true, false, false, false]);
    assert_eq!(kept("exclude"), [false, true, false, false, false]);
    let refused = keyed("refuse", &[&["a"]], rows).matchable().unwrap_err();
    assert_eq!(refused.code, "LINKAGE_DUPLICATES");
    assert_eq!(refused.message, "pass pass 0: 1 keys are shared by several records");
    keyed("refuse", &[&["a"]], &rows[..2]).matchable().unwrap();
    let report = &keyed("first", &[&["a"]], rows).report.passes[0];
    let counts =
        (report.valid_keys, report.distinct_keys, report.repeated_keys, report.records_repeated, report.most_repeated);
    assert_eq!(counts, (4, 2, 1, 3, 3));
}

#[test]
fn records_that_share_keys_through_others_are_one_patient_and_count_once() {
    let rows: &[&[Option<&str>]] = &[
        &[Some("other"), Some("3")],
        &[Some("x"), Some("1")],
        &[Some("y"), Some("2")],
        &[Some("x"), Some("2")],
        &[None, None],
        &[None, Some("3")],
    ];
    let found = keyed("first", &[&["a"], &["b"]], rows);
    assert_eq!(found.patients(), [0, 1, 1, 1, 4, 0]);
    assert_eq!(found.report.patients, 2);
    let matched = [vec![false, false, true, false, false, false], vec![false, true, false, false, false, false]];
    assert_eq!(found.matched_patients(&matched).unwrap(), [false, true, false, false, false, false]);
    let excluding = keyed("exclude", &[&["a"], &["b"]], rows);
    assert_eq!(excluding.patients(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(found.matched_patients(&matched[..1]).unwrap_err().code, "LINKAGE_SHAPE");
}

#[test]
fn columns_of_another_number_or_length_are_refused() {
    let schema = schema("[[passes]]\nname = \"n\"\nparts = [{ column = \"a\" }, { column = \"b\" }]");
    let column = |n: usize| StringArray::from(vec!["x"; n]);
    for columns in [vec![], vec![column(2)], vec![column(2), column(3)]] {
        assert_eq!(keys(&schema, &columns).unwrap_err().code, "LINKAGE_SHAPE");
    }
    assert_eq!(keys(&schema, &[column(0), column(0)]).unwrap().report.records, 0);
}

#[test]
fn nothing_that_prints_shows_an_identifier_or_a_key() {
    let found = keyed("first", &[&["a"]], &[&[Some("Wang-Secret")]]);
    let key = found.passes[0].as_slice()[0].unwrap().0;
    let shown = format!("{found:?} {:?} {}", found.report, found.report.to_text()) + &found.report.to_json();
    assert!(!shown.contains("Secret") && !shown.contains(&key.to_string()) && !shown.contains(&format!("{key:x}")));
    assert_eq!(format!("{:?}", normalise(&[], Some("Wang-Secret"))), "Ok(Text)");
}

/// Text in which what matters here is likely.
fn identifiers() -> impl Strategy<Value = String> {
    let any = any::<char>();
    let accents =
        prop::char::ranges(vec!['\u{300}'..='\u{36f}', '\u{3099}'..='\u{309a}', '\u{1100}'..='\u{11ff}'].into());
    let letters = prop::char::ranges(
        vec!['a'..='z', 'A'..='Z', '0'..='9', 'À'..='ſ', '\u{370}'..='\u{3ff}', '\u{1f00}'..='\u{1fff}'].into(),
    );
    let wide = prop::char::ranges(
        vec!['\u{3000}'..='\u{30ff}', '\u{ff00}'..='\u{ffef}', '一'..='龥', '\u{2000}'..='\u{206f}'].into(),
    );
    let signs = prop::sample::select(vec![' ', '-', '\'', '.', ',', '\u{0}', '\u{202e}', '\u{200b}', '\u{ad}']);
    let one = prop_oneof![1 => any, 3 => accents, 6 => letters, 3 => wide, 3 => signs];
    prop::collection::vec(one, 0..12).prop_map(|characters| characters.into_iter().collect())
}

/// Every step alone, and the usual lines of them.
const LISTS: [&str; 15] = [
    r#"["nfkc"]"#,
    r#"["width"]"#,
    r#"["casefold"]"#,
    r#"["strip_diacritics"]"#,
    r#"["strip_spaces"]"#,
    r#"["strip_hyphens"]"#,
    r#"["strip_punctuation"]"#,
    r#"["strip_controls"]"#,
    r#"["digits_only"]"#,
    r#"[{ prefix = 3 }]"#,
    r#"[{ codes = { m = ["male", "1"], f = ["2"] } }]"#,
    r#"[{ absent = ["unknown"] }]"#,
    r#"["nfkc", "casefold", "strip_diacritics"]"#,
    NAME,
    NUMBER,
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn normalising_twice_changes_nothing(text in identifiers()) {
        static ALL: LazyLock<[Vec<Step>; LISTS.len()]> = LazyLock::new(|| LISTS.map(steps));
        for (list, steps) in LISTS.iter().zip(&*ALL) {
            if let Ok(once) = normalise(steps, Some(&text)) {
                let twice = normalise(steps, Some(once.as_str()));
                prop_assert_eq!(twice.as_ref().map(Text::as_str), Ok(once.as_str()), "{}", list);
            }
        }
    }

    #[test]
    fn composed_and_decomposed_spellings_have_one_name(text in identifiers()) {
        use unicode_normalization::UnicodeNormalization;
        let steps = steps(NAME);
        let spellings = [text.nfc().collect::<String>(), text.nfd().collect()];
        let [one, other] = spellings.map(|spelling| normalise(&steps, Some(&spelling)));
        prop_assert!(one == other);
    }

    #[test]
    fn dates_of_any_text_are_days_or_nothing(text in "[0-9]{1,4}[-./年]?[0-9]{1,2}[-./月]?[0-9]{1,4}日?") {
        if let Ok(day) = normalise(&steps(DATE), Some(&text)) {
            prop_assert_eq!(day.as_str().len(), 10);
            let again = normalise(&steps(DATE), Some(day.as_str()));
            prop_assert!(again == Ok(day));
        }
    }
}
