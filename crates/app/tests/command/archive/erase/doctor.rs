//! What `doctor` says of the place of the archives, by what erasures have noted of it.

use super::*;

impl Archiving {
    /// Its findings on archives, each with its severity.
    fn examined(&self) -> Vec<(String, String)> {
        let found = self.json(&["doctor"]);
        let findings = found["findings"].as_array().unwrap().iter();
        let of_archives = findings.filter(|finding| finding["check"] == "archive");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        of_archives.map(|finding| (text(&finding["severity"]), text(&finding["detail"]))).collect()
    }

    /// The one that warns.
    fn doubted(&self) -> String {
        let found = self.examined();
        assert_eq!(found.len(), 2, "{found:?}");
        let (severity, doubt) = &found[1];
        assert_eq!(severity, "warning", "{doubt}");
        doubt.clone()
    }
}

fn known_and_doubted(database: impl FnOnce(&Home) -> Database) {
    let archiving = Archiving::new(database, 3);
    archiving.json(&["cleanup"]);
    let found = archiving.examined();
    assert!(
        matches!(found.as_slice(), [(severity, _)] if severity == "ok"),
        "nobody has noted any: {found:?}"
    );
    archiving.erased(0, "0.json");
    let mark = archiving.home.0.path().join("archive/lcs-archives.json");
    let known = fs::read_to_string(&mark).unwrap();
    let id = read(&mark)["place_id"].as_str().unwrap().to_owned();
    let found = archiving.examined();
    assert!(
        matches!(found.as_slice(), [(severity, said)] if severity == "ok" && said.contains(&id)),
        "{found:?}"
    );
    // The next erasure has come to its archive, and not ended.
    assert!(archiving.erasure_killed_behind(Step::Replaced, 1));
    let another = "018f0000-0000-7000-8009-000000000001";
    fs::write(&mark, json!({ "place_id": another }).to_string()).unwrap();
    let doubt = archiving.doubted();
    assert!(doubt.contains(&id) && doubt.contains(another) && doubt.contains("has not ended"), "{doubt}");
    fs::remove_file(&mark).unwrap();
    let doubt = archiving.doubted();
    assert!(doubt.contains(&id) && doubt.contains("has no lcs-archives.json"), "{doubt}");
    fs::write(&mark, "{").unwrap();
    assert!(archiving.doubted().contains("is none that this program writes"));
    fs::write(&mark, known).unwrap();
    archiving.erased(1, "1.json");
    assert_eq!(archiving.examined(), found);
    fs::remove_file(&mark).unwrap();
    let doubt = archiving.doubted();
    assert!(doubt.contains(&id) && !doubt.contains("has not ended"), "{doubt}");
}

#[test]
fn doctor_knows_the_place_that_erasures_have_noted_on_sqlite() {
    known_and_doubted(Database::sqlite);
}

#[test]
fn doctor_knows_the_place_that_erasures_have_noted_on_postgresql() {
    known_and_doubted(|_| Database::postgres());
}
