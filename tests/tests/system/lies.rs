//! A host that lies about the release, and enclaves that are not the ones meant.

use crate::support::{plan, refused, world};
use adyton_attestation::anchor::TrustAnchor;
use adyton_attestation::appraisal::Refusal;
use adyton_attestation::measurement::Measurement;
use adyton_attestation::reference::{Image, Owner, ReferenceValues};
use adyton_client::session::Policy;
use adyton_tests::world::{Plan, World};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Starting this must fail, because the enclave refuses before it listens.
fn does_not_start(tamper: fn(&Path) -> Result<()>) {
    let started = World::start(&Plan { tamper: Some(tamper), ..plan() });
    let error = started.map(|_| ()).expect_err("the enclave listens");
    assert!(error.to_string().contains("before the enclave listened"), "{error:#}");
}

/// The weights' blob: the only symbolic link in the folder.
fn weights(release: &Path) -> Result<std::path::PathBuf> {
    let blobs = fs::read_dir(release.join("blobs"))?;
    blobs.flatten().map(|e| e.path()).find(|p| p.is_symlink()).context("the weights")
}

/// Replaces the link by a copy that `change` may alter.
fn altered_weights(release: &Path, change: impl FnOnce(&fs::File) -> std::io::Result<()>) -> Result<()> {
    let blob = weights(release)?;
    let copy = release.join("copy");
    fs::copy(&blob, &copy)?;
    fs::rename(&copy, &blob)?;
    Ok(change(&fs::OpenOptions::new().write(true).open(&blob)?)?)
}

#[test]
fn one_flipped_bit_in_the_weights_stops_the_start() {
    does_not_start(|release| {
        altered_weights(release, |file| {
            let middle = file.metadata()?.len() / 2;
            file.write_all_at(&[0xa5], middle).and(file.write_all_at(&[0x5a], middle + 1))
        })
    });
}

#[test]
fn short_weights_stop_the_start() {
    does_not_start(|release| altered_weights(release, |file| file.set_len(file.metadata()?.len() - 1)));
}

#[test]
fn a_policy_that_is_not_the_measured_one_stops_the_start() {
    does_not_start(|release| {
        for entry in fs::read_dir(release.join("blobs"))?.flatten().filter(|e| !e.path().is_symlink()) {
            let text = fs::read_to_string(entry.path())?;
            if text.contains("permit") {
                fs::write(entry.path(), text.replace("clearance >= 2", "clearance >= 0"))?;
            }
        }
        Ok(())
    });
}

#[test]
fn a_manifest_that_is_not_one_stops_the_start() {
    does_not_start(|release| Ok(fs::write(release.join("manifest.json"), "{}")?));
}

/// A model file that is measured faithfully and is no model.
#[test]
fn a_garbage_model_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.gguf");
    fs::write(&garbage, b"GGUF but not for long").unwrap();
    let started = World::start(&Plan { model: garbage, ..plan() });
    assert!(started.map(|_| ()).unwrap_err().to_string().contains("before the enclave listened"));
}

fn policy_with(world: &World, image: Image, manifest: Measurement, owner: Owner) -> Policy {
    let reference = ReferenceValues::new(vec![image], vec![manifest], owner).unwrap();
    Policy { reference, ..world.policy().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_image_manifest_or_owner_is_refused_by_name() {
    let world = world();
    let right = world.policy().unwrap().reference;
    let (image, manifest, owner) = (right.images()[0], right.manifests()[0], *right.owner());
    let other = Measurement::new([7; 48]);

    for wrong in
        [Image { pcr0: other, ..image }, Image { pcr1: other, ..image }, Image { pcr2: other, ..image }]
    {
        let refusal = refused(&world.target(), &policy_with(&world, wrong, manifest, owner)).await;
        assert!(matches!(refusal, Refusal::Image), "{refusal:?}");
    }
    let refusal = refused(&world.target(), &policy_with(&world, image, other, owner)).await;
    assert!(matches!(refusal, Refusal::Manifest { .. }), "{refusal:?}");
    // Diversion: the same public image, started by somebody else.
    let somebody_else = Owner::Signer { pcr8: other };
    let refusal = refused(&world.target(), &policy_with(&world, image, manifest, somebody_else)).await;
    assert!(matches!(refusal, Refusal::Owner { .. }), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_enclave_is_refused_under_the_aws_root() {
    let world = world();
    let policy = Policy { anchor: TrustAnchor::aws_nitro_g1(), ..world.policy().unwrap() };
    let refusal = refused(&world.target(), &policy).await;
    assert_eq!(refusal, Refusal::Root, "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debug_enclave_is_refused() {
    let debug = World::start(&Plan { enclave_arguments: vec!["--debug-enclave".into()], ..plan() }).unwrap();
    let ordinary = world();
    let policy = Policy { anchor: debug.anchor().unwrap(), ..ordinary.policy().unwrap() };
    let refusal = refused(&debug.target(), &policy).await;
    assert!(matches!(refusal, Refusal::Debug { .. }), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_with_another_policy_starts_and_no_client_accepts_it() {
    // The host may start what it likes, honestly measured: PCR16 tells.
    let meant = world();
    let other = World::start(&Plan { name: "another-name".into(), ..plan() }).unwrap();
    let policy = Policy { anchor: other.anchor().unwrap(), ..meant.policy().unwrap() };
    let refusal = refused(&other.target(), &policy).await;
    assert!(matches!(refusal, Refusal::Manifest { .. }), "{refusal:?}");
}
