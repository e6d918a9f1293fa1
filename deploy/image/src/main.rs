//! `adyton-image`: puts an enclave image together, measures one, and writes its bill of materials.

use adyton_image::bill::{self, Part};
use adyton_image::eif::{self, Parts};
use adyton_image::measure::{Registers, registers};
use adyton_image::ramdisk;
use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use serde_json::json;
use std::io::BufRead;
use std::path::{Path, PathBuf};

/// Put an enclave image together, measure one, write its bill of materials.
#[derive(Debug, Parser)]
#[command(name = "adyton-image", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Put an image together and print its registers.
    Build {
        /// The kernel, a bzImage.
        #[arg(long, value_name = "FILE")]
        kernel: PathBuf,
        /// The kernel's command line, in a file of one line.
        #[arg(long, value_name = "FILE")]
        cmdline: PathBuf,
        /// The first process: the sentinel, static.
        #[arg(long, value_name = "FILE")]
        sentinel: PathBuf,
        /// The worker, static.
        #[arg(long, value_name = "FILE")]
        worker: PathBuf,
        /// The version of the kernel, for the description.
        #[arg(long, value_name = "VERSION")]
        kernel_version: String,
        /// Where the image is written.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Print PCR0, PCR1 and PCR2 of an image, whoever built it.
    Measure {
        /// The image.
        image: PathBuf,
    },
    /// Print the bill of materials of an image, SPDX 2.3. Parts come from standard input, NAME|VERSION|LICENCE or
    /// NAME|VERSION|LICENCE|SHA256 on each line.
    Bill {
        /// The image.
        image: PathBuf,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Build { kernel, cmdline, sentinel, worker, kernel_version, out } => {
            let parts = Parts {
                kernel: read(&kernel)?,
                command_line: String::from_utf8(read(&cmdline)?)?.trim_end().to_owned(),
                metadata: metadata(&kernel_version),
                ramdisks: vec![
                    ramdisk::pack(&ramdisk::boot(read(&sentinel)?))?,
                    ramdisk::pack(&ramdisk::application(read(&worker)?))?,
                ],
            };
            std::fs::write(&out, eif::write(&parts)?).with_context(|| out.display().to_string())?;
            show(&registers(&parts))
        }
        Command::Measure { image } => show(&registers(&image_at(&image)?.1)),
        Command::Bill { image } => {
            let parts: Result<Vec<Part>> =
                std::io::stdin().lock().lines().map(|line| Ok(Part::parse(&line?)?)).collect();
            println!("{:#}", bill::document(&image_at(&image)?.0, &parts?));
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn image_at(path: &Path) -> Result<(Vec<u8>, Parts)> {
    let bytes = read(path)?;
    let parts = eif::read(&bytes).with_context(|| path.display().to_string())?;
    Ok((bytes, parts))
}

fn show(registers: &Registers) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(registers)?);
    Ok(())
}

/// What `nitro-cli describe-eif` shows. It is not measured, and says nothing that differs from build to build.
fn metadata(kernel: &str) -> Vec<u8> {
    let description = json!({
        "ImageName": "adyton", "ImageVersion": env!("CARGO_PKG_VERSION"),
        "BuildMetadata": {
            "BuildTime": "1970-01-01T00:00:00+00:00", "BuildTool": env!("CARGO_PKG_NAME"),
            "BuildToolVersion": env!("CARGO_PKG_VERSION"), "OperatingSystem": "Linux", "KernelVersion": kernel,
        },
        "DockerInfo": {}, "CustomMetadata": {},
    });
    description.to_string().into_bytes()
}
