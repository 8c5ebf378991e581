//! The OpenAPI document: a committed snapshot, and the judge of every answer in these tests.

use std::path::PathBuf;

use http::Method;
use lcs_app::http::openapi;
use serde_json::{Value, json};

/// The document that the program serves.
pub(crate) struct Document(Value);

impl Document {
    pub(crate) fn new() -> Self {
        Self(serde_json::to_value(openapi()).unwrap())
    }

    /// Fails unless the document foretells an answer like this one.
    pub(crate) fn judge(
        &self,
        method: &Method,
        path: &str,
        status: u16,
        content_type: Option<&str>,
        body: Option<&Value>,
    ) {
        let what = format!("{method} {path} -> {status}");
        let path = path.split('?').next().unwrap();
        let Some(operation) = self.operation(method, path) else {
            assert!(matches!(status, 404 | 405), "{what}: the document has no such operation");
            return;
        };
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{what}: the document does not foretell this status");
        let content = &response["content"];
        let Some(content_type) = content_type else {
            assert!(content.is_null(), "{what}: an answer without content");
            return;
        };
        let media_type = content_type.split(';').next().unwrap().trim();
        let media = &content[media_type];
        assert!(media.is_object(), "{what}: the document does not foretell {media_type}");
        if let Some(body) = body {
            let schema = json!({ "components": self.0["components"], "allOf": [media["schema"]] });
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let problems: Vec<String> = validator.iter_errors(body).map(|error| error.to_string()).collect();
            assert!(problems.is_empty(), "{what}: {problems:?} in {body}");
        }
    }

    fn operation(&self, method: &Method, path: &str) -> Option<&Value> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            parts.len() == segments.len()
                && parts.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
        };
        let paths = self.0["paths"].as_object().unwrap();
        // A template without a parameter fits better than one with.
        let template =
            paths.keys().filter(|template| fits(template)).min_by_key(|template| template.contains('{'))?;
        paths[template].get(method.as_str().to_lowercase())
    }
}

fn snapshot() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json")
}

#[test]
fn the_document_is_the_committed_one() {
    let made = openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(snapshot(), &made).unwrap();
    }
    let committed = std::fs::read_to_string(snapshot()).unwrap();
    assert!(
        made == committed,
        "docs/openapi.json is not what the program serves: look at the change, then UPDATE_OPENAPI=1 scripts/test openapi"
    );
}

#[test]
fn the_document_is_openapi_3_1_and_whole() {
    let document = Document::new().0;
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let names = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"$ref\":\"").skip(1) {
        let reference = reference.split('"').next().unwrap();
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(names.contains_key(name), "{reference} is not there");
    }
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(
                operation["summary"].is_string() || operation["description"].is_string(),
                "{method} {path}"
            );
            for parameter in path.split('{').skip(1).map(|part| part.split('}').next().unwrap()) {
                let declared = operation["parameters"].as_array().unwrap();
                assert!(
                    declared.iter().any(|p| p["name"] == parameter && p["in"] == "path"),
                    "{method} {path}"
                );
            }
        }
    }
}
