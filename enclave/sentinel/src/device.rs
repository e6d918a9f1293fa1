//! The real NSM: `/dev/nsm`, through AWS's driver.

use adyton_attestation::nsm::Nsm;
use aws_nitro_enclaves_nsm_api::api::{ErrorCode, Request, Response};
use aws_nitro_enclaves_nsm_api::driver;
use std::io;

/// An open `/dev/nsm`.
#[derive(Debug)]
pub struct Device {
    descriptor: i32,
}

impl Device {
    /// Opens the device.
    ///
    /// # Errors
    /// `NotFound` outside an enclave.
    pub fn open() -> io::Result<Device> {
        // The driver answers -1 for every failure.
        match driver::nsm_init() {
            descriptor if descriptor >= 0 => Ok(Device { descriptor }),
            _ => Err(io::Error::new(
                io::ErrorKind::NotFound,
                "/dev/nsm could not be opened: not in an enclave",
            )),
        }
    }
}

impl Nsm for Device {
    fn process(&mut self, request: Request) -> Response {
        if self.descriptor < 0 {
            return Response::Error(ErrorCode::InternalError);
        }
        driver::nsm_process_request(self.descriptor, request)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        driver::nsm_exit(self.descriptor);
    }
}
