//! Which instruction set a kernel runs on, found out once at run time.

#[cfg(target_arch = "x86_64")]
use crate::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use crate::avx512::Avx512;
use crate::plain::Plain;
use crate::simd::Kernel;

/// Having an `Isa` tells you that this processor can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain(Plain),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2<false>),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(Avx2<true>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Isa {
    /// The fastest one.
    pub fn best() -> Isa {
        Isa::all().pop().unwrap_or(Isa(Kind::Plain(Plain)))
    }

    /// All that this processor can run, the slowest first. The first is plain Rust.
    pub fn all() -> Vec<Isa> {
        let mut all = vec![Isa(Kind::Plain(Plain))];
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::<false>::detect().map(|s| Isa(Kind::Avx2(s))));
            all.extend(Avx2::<true>::detect().map(|s| Isa(Kind::AvxVnni(s))));
            all.extend(Avx512::detect().map(|s| Isa(Kind::Avx512(s))));
        }
        all
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self.0 {
            Kind::Plain(_) => "plain",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni(_) => "avx-vnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "avx512-vnni",
        }
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Kind::Plain(simd) => kernel.run(simd),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Kind::AvxVnni(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(simd) => simd.run(kernel),
        }
    }
}
