//! Packing and products: every format, random shapes, every instruction set.

use super::{Numbers, bits, others, plain};
use crate::{Activations, Format, Isa, Matrix, PackError, Pool, Store};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};

fn candle(format: Format) -> GgmlDType {
    match format {
        Format::Q4_0 => GgmlDType::Q4_0,
        Format::Q4_1 => GgmlDType::Q4_1,
        Format::Q5_0 => GgmlDType::Q5_0,
        Format::Q5_1 => GgmlDType::Q5_1,
        Format::Q8_0 => GgmlDType::Q8_0,
        Format::Q4K => GgmlDType::Q4K,
        Format::Q5K => GgmlDType::Q5K,
        Format::Q6K => GgmlDType::Q6K,
        Format::F16 => GgmlDType::F16,
        Format::F32 => GgmlDType::F32,
    }
}

/// A random matrix as a file has it, and what candle says that its bytes mean.
fn random(format: Format, rows: usize, columns: usize, numbers: &mut Numbers) -> (Vec<u8>, Vec<f32>) {
    let tensor = Tensor::from_vec(numbers.floats(rows * columns), (rows, columns), &Device::Cpu).unwrap();
    let tensor = QTensor::quantize(&tensor, candle(format)).unwrap();
    let dense = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (tensor.data().unwrap().to_vec(), dense)
}

struct Case {
    store: Store,
    matrix: Matrix,
    dense: Vec<f32>,
}

fn case(format: Format, rows: usize, columns: usize, numbers: &mut Numbers) -> Case {
    let (data, dense) = random(format, rows, columns, numbers);
    let mut store = Store::with_capacity(Store::bytes_for(format, rows, columns)).unwrap();
    let matrix = store.pack(format, (rows, columns), &data, |row| row).unwrap();
    Case { store, matrix, dense }
}

fn activations(isa: Isa, pool: &mut Pool, x: &[f32], width: usize) -> Activations {
    let mut rows = Activations::new(width, x.len() / width);
    rows.fill(isa, pool, x.len() / width, &|i, row| row.copy_from_slice(&x[i * width..][..width]));
    rows
}

fn product(isa: Isa, threads: usize, case: &Case, x: &[f32]) -> Vec<f32> {
    let mut pool = Pool::new(threads).unwrap();
    let columns = case.matrix.columns();
    let rows = activations(isa, &mut pool, x, columns);
    let mut out = vec![f32::NAN; x.len() / columns * case.matrix.rows()];
    case.store.product(isa, &mut pool, &[&case.matrix], &rows, &mut out);
    out
}

/// Rows and columns that meet every edge: whole strips and torn ones, one group and an odd number of them.
fn shape(format: Format, numbers: &mut Numbers) -> (usize, usize) {
    let rows = [1, 5, 15, 16, 17, 32, 47, 100][numbers.below(8)];
    let wide = format.block().0 == 256;
    let columns =
        if wide { [256, 512, 768][numbers.below(3)] } else { [32, 64, 96, 160, 576][numbers.below(5)] };
    (rows, columns)
}

#[test]
fn rows_are_what_candle_says_that_they_are() {
    let mut numbers = Numbers::new(1);
    for format in Format::ALL {
        for _ in 0..4 {
            let (rows, columns) = shape(format, &mut numbers);
            let Case { store, matrix, dense } = case(format, rows, columns, &mut numbers);
            let mut row = vec![0.0; columns];
            for (index, expected) in dense.chunks_exact(columns).enumerate() {
                store.row(&matrix, index, &mut row);
                let worst = row.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                // The K formats: the same numbers, multiplied in another order.
                assert!(worst <= 1e-5, "{format:?} {rows} x {columns}, row {index}: {worst}");
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let mut numbers = Numbers::new(2);
    for format in Format::ALL {
        for round in 0..6 {
            let (rows, columns) = shape(format, &mut numbers);
            let case = case(format, rows, columns, &mut numbers);
            let count = [1, 2, 3, 7, 8, 13][round];
            let x = numbers.floats(columns * count);
            let expected = bits(&product(plain(), 1, &case, &x));
            for isa in others() {
                let got = bits(&product(isa, 2, &case, &x));
                assert!(got == expected, "{format:?} {rows} x {columns}, {count} rows, {}", isa.name());
            }
        }
    }
}

#[test]
fn a_product_is_close_to_the_one_in_f64() {
    let mut numbers = Numbers::new(3);
    for format in Format::ALL {
        let (rows, columns) = shape(format, &mut numbers);
        let case = case(format, rows, columns, &mut numbers);
        let x = numbers.floats(columns);
        let got = product(plain(), 1, &case, &x);
        for (weights, got) in case.dense.chunks_exact(columns).zip(got) {
            let terms = || weights.iter().zip(&x).map(|(w, x)| f64::from(*w) * f64::from(*x));
            // Half a step of each group's scale, which its largest activation sets; here at most 20 / 127.
            let step = if format.is_quantised() { 20.0 / 127.0 / 2.0 } else { 1e-5 };
            let allowed = weights.iter().map(|w| f64::from(w.abs())).sum::<f64>() * step + 1e-4;
            let expected: f64 = terms().sum();
            assert!((expected - f64::from(got)).abs() < allowed, "{format:?}: {got} for {expected}");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_or_on_threads() {
    let mut numbers = Numbers::new(4);
    for format in Format::ALL {
        let (rows, columns) = shape(format, &mut numbers);
        let case = case(format, rows, columns, &mut numbers);
        let x = numbers.floats(columns * 13);
        for isa in super::Isa::all() {
            let together = product(isa, 1, &case, &x);
            for threads in [2, 3] {
                assert_eq!(bits(&together), bits(&product(isa, threads, &case, &x)), "{format:?}");
            }
            for (i, row) in x.chunks_exact(columns).enumerate() {
                let alone = product(isa, 1, &case, row);
                assert_eq!(bits(&alone), bits(&together[i * rows..][..rows]), "{format:?}, row {i}");
            }
        }
    }
}

#[test]
fn matrices_of_several_formats_stand_side_by_side_in_one_product() {
    let mut numbers = Numbers::new(5);
    let formats = [Format::Q4K, Format::Q6K, Format::F16, Format::Q5_0];
    let parts: Vec<(Vec<u8>, usize)> = formats
        .iter()
        .zip([33, 16, 7, 20])
        .map(|(f, rows)| (random(*f, rows, 256, &mut numbers).0, rows))
        .collect();
    let bytes = formats.iter().zip(&parts).map(|(f, (_, rows))| Store::bytes_for(*f, *rows, 256)).sum();
    let mut store = Store::with_capacity(bytes).unwrap();
    let matrices: Vec<Matrix> = formats
        .iter()
        .zip(&parts)
        .map(|(f, (data, rows))| store.pack(*f, (*rows, 256), data, |row| row).unwrap())
        .collect();
    let (isa, mut pool) = (Isa::best(), Pool::new(2).unwrap());
    let x = activations(isa, &mut pool, &numbers.floats(256 * 3), 256);
    let mut side_by_side = vec![0.0; 3 * 76];
    store.product(isa, &mut pool, &matrices.iter().collect::<Vec<_>>(), &x, &mut side_by_side);
    let mut start = 0;
    for matrix in &matrices {
        let mut alone = vec![0.0; 3 * matrix.rows()];
        store.product(isa, &mut pool, &[matrix], &x, &mut alone);
        for (all, own) in side_by_side.chunks_exact(76).zip(alone.chunks_exact(matrix.rows())) {
            assert_eq!(all[start..start + matrix.rows()], *own);
        }
        start += matrix.rows();
    }
}

#[test]
fn rows_can_be_packed_in_another_order() {
    let mut numbers = Numbers::new(6);
    let (data, dense) = random(Format::Q4_1, 20, 64, &mut numbers);
    let mut store = Store::with_capacity(Store::bytes_for(Format::Q4_1, 20, 64)).unwrap();
    let matrix = store.pack(Format::Q4_1, (20, 64), &data, |row| 19 - row).unwrap();
    let mut row = vec![0.0; 64];
    for i in 0..20 {
        store.row(&matrix, i, &mut row);
        assert_eq!(row, dense[(19 - i) * 64..][..64]);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let mut store = Store::with_capacity(1 << 20).unwrap();
    let mut pack =
        |shape, bytes: usize| store.pack(Format::Q4_1, shape, &vec![0; bytes], |row| row).map(|_| ());
    assert_eq!(pack((2, 64), 80), Ok(()));
    for (rows, columns, bytes) in
        [(2, 64, 79), (2, 64, 81), (2, 63, 80), (0, 64, 0), (2, 0, 0), (usize::MAX, 64, 80)]
    {
        assert_eq!(pack((rows, columns), bytes), Err(PackError::Shape { rows, columns, bytes }));
    }
    let outside = store.pack(Format::Q4_1, (2, 64), &[0; 80], |row| row + 1);
    assert!(matches!(outside, Err(PackError::Shape { .. })));
    let mut small = Store::with_capacity(64).unwrap();
    assert!(matches!(small.pack(Format::Q4_1, (2, 64), &[0; 80], |row| row), Err(PackError::Store(_))));
}

#[test]
fn numbers_that_are_none_do_not_vanish() {
    let mut numbers = Numbers::new(7);
    for format in Format::ALL {
        let case = case(format, 16, 256, &mut numbers);
        for isa in Isa::all() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut x = numbers.floats(256);
                x[77] = bad;
                assert!(product(isa, 1, &case, &x).iter().all(|v| !v.is_finite()), "{format:?} {bad}");
            }
        }
        assert!(case.store.is_finite(&case.matrix), "{format:?}");
        let (width, bytes) = format.block();
        // A scale with all bits set is no number; the last bytes of Q6_K are its scale.
        let mut data = vec![0xff; 256 / width * bytes];
        data.resize(256 / width * bytes, 0xff);
        let mut store = Store::with_capacity(Store::bytes_for(format, 1, 256)).unwrap();
        let matrix = store.pack(format, (1, 256), &data, |row| row).unwrap();
        assert!(!store.is_finite(&matrix), "{format:?}");
    }
}

#[test]
fn tiny_and_huge_activations_are_as_good_as_others() {
    let mut numbers = Numbers::new(8);
    let case = case(Format::Q8_0, 16, 64, &mut numbers);
    let x = numbers.floats(64);
    let expected = product(plain(), 1, &case, &x);
    for factor in [2f32.powi(-90), 2f32.powi(90)] {
        let scaled: Vec<f32> = x.iter().map(|x| x * factor).collect();
        for isa in Isa::all() {
            let got = product(isa, 1, &case, &scaled);
            assert!(got.iter().zip(&expected).all(|(g, e)| (g / factor - e).abs() <= e.abs() * 1e-5));
        }
    }
    assert!(product(Isa::best(), 1, &case, &[1e-42; 64]).iter().all(|v| v.abs() < 1e-38));
}
