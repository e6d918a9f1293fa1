//! Unsigned reference values: what is read, and each refusal with its place.

use super::*;

fn json(images: &str, manifests: &str, owner: &str) -> String {
    format!("{{\"images\":[{images}],\"manifests\":[{manifests}],\"owner\":{owner}}}")
}

#[test]
fn the_table_of_policies() {
    let one = format!("\"{}\"", "11".repeat(48));
    let zero = format!("\"{}\"", "00".repeat(48));
    let image = format!("{{\"pcr0\":{one},\"pcr1\":{one},\"pcr2\":{one}}}");
    let debug = format!("{{\"pcr0\":{zero},\"pcr1\":{one},\"pcr2\":{one}}}");
    let any = "\"anyone-at-all\"";
    let signer = format!("{{\"signer\":{{\"pcr8\":{one}}}}}");
    let endorser = format!("{{\"endorser\":{{\"ed25519\":\"{}\"}}}}", "11".repeat(32));
    for owner in [any, &signer, &endorser, &format!("{{\"role\":{{\"pcr3\":{one}}}}}")] {
        let read = ReferenceValues::from_json(json(&image, &one, owner).as_bytes()).unwrap();
        assert_eq!(ReferenceValues::from_json(read.to_json().as_bytes()), Ok(read));
    }
    let refused = |text: String| ReferenceValues::from_json(text.as_bytes()).unwrap_err();
    assert_eq!(refused(json("", &one, any)), ReferenceError::NoImages);
    assert_eq!(refused(json(&image, "", any)), ReferenceError::NoManifests);
    assert_eq!(refused(json(&debug, &one, any)), ReferenceError::ZeroImage { register: "pcr0" });
    assert_eq!(refused(json(&image, &zero, any)), ReferenceError::ZeroManifest);
    let no_signer = signer.replace("11", "00");
    assert_eq!(refused(json(&image, &one, &no_signer)), ReferenceError::ZeroOwner { register: "pcr8" });
    assert_eq!(refused("{\"images\":[".into()), ReferenceError::Json { line: 1, column: 11 });
    assert_eq!(refused(" ".repeat(MAX_JSON + 1)), ReferenceError::TooLarge);
}

#[test]
fn each_fault_is_named_with_its_place() {
    use ReferenceError as Is;
    let digits = "11".repeat(48);
    let one = format!("\"{digits}\"");
    let image = format!("{{\"pcr0\":{one},\"pcr1\":{one},\"pcr2\":{one}}}");
    let alone = |register: &str| format!("{{\"{register}\":{one}}}");
    let owner =
        |form: &str, register: &str, value: &str| format!("{{\"{form}\":{{\"{register}\":{value}}}}}");
    let instance = owner("instance", "pcr4", &one);
    let at = |at: &str| at.to_owned();
    let good = json(&image, &one, &instance);
    let with = |from: &str, to: &str| good.replacen(from, to, 1);
    let part = |missing: &str| Is::PartOfImage { at: at("images[0]"), missing: at(missing) };
    let digits_at = |place: &str, seen| Is::WrongDigits { at: at(place), seen, wanted: 96 };
    for (text, expected) in [
        (at("[]"), Is::WrongType { at: at("the whole file"), wanted: "an object" }),
        (at("{}"), Is::Missing { at: at("images") }),
        (with("\"manifests\"", "\"manifest\""), Is::UnknownKey { at: at("manifest") }),
        (with("\"owner\"", "\"a key\""), Is::UnknownKey { at: at("(a key that is not shown)") }),
        (with("\"owner\"", "\"images\":[],\"owner\""), Is::Twice { at: at("images") }),
        (json(&image, "7", &instance), Is::WrongType { at: at("manifests[0]"), wanted: "text" }),
        (json("7", &one, &instance), Is::WrongType { at: at("images[0]"), wanted: "an object" }),
        (with(&format!("[{image}]"), "7"), Is::WrongType { at: at("images"), wanted: "a list" }),
        (with("11\",\"pcr1", "1\",\"pcr1"), digits_at("images[0].pcr0", 95)),
        (json(&image, &format!("{one},\"\""), &instance), digits_at("manifests[1]", 0)),
        (with("11\",\"pcr1", "1g\",\"pcr1"), Is::NotHex { at: at("images[0].pcr0") }),
        (json(&image, &one, &owner("instance", "pcr4", "\"11\"")), digits_at("owner.instance.pcr4", 2)),
        (
            json(&image, &one, &owner("signer", "pcr8", &one.replace("11", "zz"))),
            Is::NotHex { at: at("owner.signer.pcr8") },
        ),
        (json(&alone("pcr0"), &one, &instance), part("pcr1 and pcr2")),
        (json(&image.replace(&format!(",\"pcr2\":{one}"), ""), &one, &instance), part("pcr2")),
        (json("{}", &one, &instance), Is::Missing { at: at("images[0].pcr0") }),
        (with("\"pcr1\":", "\"pcr0\":"), Is::Twice { at: at("images[0].pcr0") }),
        (with("\"pcr2\":", "\"PCR2\":"), Is::UnknownKey { at: at("images[0].PCR2") }),
        (json("", &one, &instance), Is::OwnerOnly { register: "pcr4" }),
        (format!("{{\"owner\":{instance}}}"), Is::OwnerOnly { register: "pcr4" }),
        (alone("PCR4"), Is::OwnerOnly { register: "pcr4" }),
        (json(&alone("pcr4"), &one, "\"anyone-at-all\""), Is::OwnerOnly { register: "pcr4" }),
        (json("", &one, &owner("role", "pcr3", &one)), Is::OwnerOnly { register: "pcr3" }),
        (json(&image, &one, "\"anyone\""), Is::UnknownOwner),
        (json(&image, &one, "null"), Is::UnknownOwner),
        (json(&image, &one, &owner("signer", "pcr3", &one)), Is::UnknownOwner),
        (json(&image, &one, &instance.replace("}}", &format!(",\"pcr4\":{one}}}}}"))), Is::UnknownOwner),
    ] {
        let refusal = ReferenceValues::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(refusal, expected, "{text}");
        assert!(!refusal.to_string().contains("11"), "{refusal}");
    }
}
