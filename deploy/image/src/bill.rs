//! The bill of materials of an image, as SPDX 2.3 in JSON.
//!
//! Promises
//! - The same parts give the same bytes: parts are sorted, no clock goes in, and the document's name follows from the image.
//! - A part without a name, a version or a licence is refused.
//!
//! Does not: find parts. Whoever calls lists them; `deploy/image/build` takes crates from cargo and the rest from what it pins.
//!
//! Source: SPDX specification 2.3, clauses 6, 7 and 11.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use thiserror::Error;

/// Something that is in the image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub licence: String,
    /// SHA-256 of what it was taken from, in hex, where that is one file.
    pub sha256: Option<String>,
}

/// A line that names no part.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected NAME|VERSION|LICENCE or NAME|VERSION|LICENCE|SHA256, got {0:?}")]
pub struct BadPart(String);

impl Part {
    /// `NAME|VERSION|LICENCE`, and perhaps `|SHA256`.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(line: &str) -> Result<Part, BadPart> {
        let bad = || BadPart(line.to_owned());
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let (named, sha256) = match fields.as_slice() {
            [named @ .., digest] if named.len() == 3 => (named, Some(*digest)),
            named => (named, None),
        };
        let [name, version, licence] = named else { return Err(bad()) };
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if [name, version, licence].iter().any(|field| field.is_empty()) || sha256.is_some_and(|d| !hex(d)) {
            return Err(bad());
        }
        // Older crates write a slash where SPDX says OR.
        let licence = licence.replace(" / ", " OR ").replace('/', " OR ");
        Ok(Part {
            name: (*name).to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            licence,
            sha256: sha256.map(str::to_owned),
        })
    }
}

/// The document for an image with these parts.
pub fn document(image: &[u8], parts: &[Part]) -> Value {
    let digest = hex::encode(digest(&SHA256, image).as_ref());
    let parts: BTreeSet<&Part> = parts.iter().collect();
    let whole = json!({
        "SPDXID": "SPDXRef-image", "name": "adyton.eif", "versionInfo": env!("CARGO_PKG_VERSION"),
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
        "checksums": [{ "algorithm": "SHA256", "checksumValue": digest }],
    });
    let packages = std::iter::once(whole).chain(parts.iter().enumerate().map(|(n, part)| package(n, part)));
    let relations = std::iter::once(relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-image".into()))
        .chain((0..parts.len()).map(|number| relation("SPDXRef-image", "CONTAINS", id(number))));
    json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "adyton.eif",
        "documentNamespace": format!("urn:adyton:image:sha256:{digest}"),
        // A time would differ from build to build.
        "creationInfo": { "created": "1970-01-01T00:00:00Z", "creators": ["Tool: adyton-image"] },
        "packages": packages.collect::<Vec<_>>(),
        "relationships": relations.collect::<Vec<_>>(),
    })
}

fn id(number: usize) -> String {
    format!("SPDXRef-part-{number}")
}

fn relation(from: &str, kind: &str, to: String) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn package(number: usize, part: &Part) -> Value {
    let mut package = json!({
        "SPDXID": id(number), "name": part.name, "versionInfo": part.version, "downloadLocation": "NOASSERTION",
        "filesAnalyzed": false, "licenseConcluded": "NOASSERTION", "licenseDeclared": part.licence,
        "copyrightText": "NOASSERTION",
    });
    if let (Some(sha256), Some(fields)) = (&part.sha256, package.as_object_mut()) {
        fields.insert("checksums".into(), json!([{ "algorithm": "SHA256", "checksumValue": sha256 }]));
    }
    package
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_and_others_are_refused() {
        let part = Part::parse("ring|v0.17.14|Apache-2.0/ISC").unwrap();
        assert_eq!((part.version.as_str(), part.licence.as_str()), ("0.17.14", "Apache-2.0 OR ISC"));
        let pinned = format!("linux|6.12|GPL-2.0-only|{}", "a".repeat(64));
        assert_eq!(Part::parse(&pinned).unwrap().sha256.unwrap().len(), 64);
        for bad in ["ring|0.17", "ring||MIT", "|1|MIT", "ring|1|MIT|short", "a|b|c|d|e", ""] {
            assert_eq!(Part::parse(bad), Err(BadPart(bad.to_owned())));
        }
    }

    #[test]
    fn the_document_does_not_depend_on_order_and_names_each_part_once() {
        let part = |line| Part::parse(line).unwrap();
        let (a, b) = (part("a|1|MIT"), part("b|2|ISC"));
        let one = document(b"image", &[a.clone(), b.clone(), a.clone()]);
        assert_eq!(one, document(b"image", &[b, a]));
        assert_eq!(one["packages"].as_array().unwrap().len(), 3);
        assert_ne!(one["documentNamespace"], document(b"other", &[])["documentNamespace"]);
    }
}
