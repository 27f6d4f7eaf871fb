//! NVRTC and the CUDA driver: compiles the kernels for a card and launches them.
//!
//! Both are loaded through the library by which libtorch's CUDA half loads them. It is always beside that half, and finds the others.

#![expect(unsafe_code, reason = "calls to NVRTC and the CUDA driver")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::error::{Context, Error, Result};

/// Libtorch's way to NVRTC and the driver.
pub const LIBRARY: &str = "libcaffe2_nvrtc.so";

/// Threads of a block, for all kernels.
const THREADS: c_uint = 256;

/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `…_MINOR`.
const CAPABILITY: [c_int; 2] = [75, 76];

/// An object of the driver or of NVRTC: never looked into here.
type Handle = *mut c_void;

macro_rules! functions {
    ($(#[$about:meta])* $kind:ident: $($name:ident($($argument:ty),*);)*) => {
        $(#[$about])*
        #[derive(Debug)]
        #[expect(non_snake_case, reason = "the library's own names")]
        struct $kind { $($name: unsafe extern "C" fn($($argument),*) -> c_int,)* }

        impl $kind {
            /// # Safety
            /// The library, or one that it needs, has functions of these types under these names, and stays open.
            unsafe fn of(library: &Library) -> Result<Self> {
                // SAFETY: the caller says so.
                unsafe {
                    Ok(Self { $($name: *library
                        .get(concat!(stringify!($name), "\0").as_bytes())
                        .internal(|| format!("{} is not there", stringify!($name)))?,)* })
                }
            }
        }
    };
}

functions! {
    /// NVRTC's functions, as its header declares them: 0 is success.
    Compiler:
    nvrtcCreateProgram(*mut Handle, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char);
    nvrtcCompileProgram(Handle, c_int, *const *const c_char);
    nvrtcGetProgramLogSize(Handle, *mut usize);
    nvrtcGetProgramLog(Handle, *mut u8);
    nvrtcGetCUBINSize(Handle, *mut usize);
    nvrtcGetCUBIN(Handle, *mut u8);
    nvrtcDestroyProgram(*mut Handle);
}

functions! {
    /// The driver's functions, as its header declares them: 0 is success.
    Driver:
    cuDeviceGet(*mut c_int, c_int);
    cuDeviceGetAttribute(*mut c_int, c_int, c_int);
    cuDevicePrimaryCtxRetain(*mut Handle, c_int);
    cuCtxPushCurrent_v2(Handle);
    cuCtxPopCurrent_v2(*mut Handle);
    cuModuleLoadData(*mut Handle, *const c_void);
    cuModuleGetFunction(*mut Handle, Handle, *const c_char);
    cuLaunchKernel(
        Handle, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, c_uint, Handle, *mut *mut c_void, *mut *mut c_void
    );
    cuGetErrorName(c_int, *mut *const c_char);
}

/// A GPU.
#[derive(Debug)]
pub struct Card {
    compiler: Compiler,
    driver: Driver,
    /// The context that libtorch uses too.
    context: Handle,
    /// Compute capability, as `sm_90`.
    architecture: String,
    _library: Library,
}

// SAFETY: the driver's objects belong to the process and may be used from any thread, as its documentation says.
unsafe impl Send for Card {}
// SAFETY: as above; the fields are constant.
unsafe impl Sync for Card {}

impl Card {
    /// Opens the GPU with libtorch's number `index`. `library`: [`LIBRARY`], or a path to one like it.
    pub fn open(library: &OsStr, index: usize) -> Result<Self> {
        let place = || format!("cannot use {}", library.display());
        // SAFETY: initialisers of libraries that libtorch itself opens in this way. The functions are those that the CUDA
        // driver and NVRTC have had since CUDA 11.2, with the types of their headers; the library stays open with them.
        let (library, compiler, driver) = unsafe {
            let library = Library::open(Some(library), RTLD_NOW | RTLD_LOCAL).internal(place)?;
            let (compiler, driver) = (Compiler::of(&library).internal(place)?, Driver::of(&library).internal(place)?);
            (library, compiler, driver)
        };
        let (mut device, mut context, mut capability) = (0, null_mut(), [0; 2]);
        // SAFETY: all pointers are to variables that live until the calls return.
        unsafe {
            driver.check((driver.cuDeviceGet)(&mut device, index as c_int), "no such device")?;
            for (value, attribute) in capability.iter_mut().zip(CAPABILITY) {
                driver.check((driver.cuDeviceGetAttribute)(value, attribute, device), "no compute capability")?;
            }
            driver.check((driver.cuDevicePrimaryCtxRetain)(&mut context, device), "no context")?;
        }
        let [major, minor] = capability;
        Ok(Self { compiler, driver, context, architecture: format!("sm_{major}{minor}"), _library: library })
    }

    /// Compiles `source` with `definitions` and finds its kernels.
    pub fn compile<const COUNT: usize>(
        self: &Arc<Self>,
        source: &CStr,
        definitions: &[(&str, usize)],
        kernels: [&CStr; COUNT],
    ) -> Result<Program<COUNT>> {
        let code = self.compiler.compile(source, &self.architecture, definitions)?;
        let (driver, mut module, mut found) = (&self.driver, null_mut(), [null_mut(); COUNT]);
        // SAFETY: the code is a whole image that NVRTC made, names end with zeros, the variables outlive the calls.
        self.within(|| unsafe {
            driver
                .check((driver.cuModuleLoadData)(&mut module, code.as_ptr().cast()), "the kernels cannot be loaded")?;
            for (kernel, name) in found.iter_mut().zip(kernels) {
                driver.check((driver.cuModuleGetFunction)(kernel, module, name.as_ptr()), "a kernel is missing")?;
            }
            Ok(())
        })?;
        Ok(Program { card: Arc::clone(self), kernels: found })
    }

    /// Does something with the card's context as the thread's current one.
    fn within(&self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let driver = &self.driver;
        // SAFETY: the context was retained and is never released.
        driver.check(unsafe { (driver.cuCtxPushCurrent_v2)(self.context) }, "the context cannot be used")?;
        let done = work();
        let mut popped = null_mut();
        // SAFETY: it is the context pushed above; the variable outlives the call.
        let back = driver.check(unsafe { (driver.cuCtxPopCurrent_v2)(&mut popped) }, "the context is lost");
        done.and(back)
    }
}

impl Driver {
    fn check(&self, code: c_int, what: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let mut name = null();
        // SAFETY: the variable outlives the call; where the driver knows a name, it is a constant of its own.
        let name = unsafe {
            match (self.cuGetErrorName)(code, &mut name) {
                0 if !name.is_null() => CStr::from_ptr(name).to_string_lossy().into_owned(),
                _ => code.to_string(),
            }
        };
        Err(Error::internal(format!("CUDA driver: {what} ({name})")))
    }
}

impl Compiler {
    /// Code for an architecture, as `sm_90`.
    fn compile(&self, source: &CStr, architecture: &str, definitions: &[(&str, usize)]) -> Result<Vec<u8>> {
        let mut options = vec!["--std=c++17".to_owned(), format!("--gpu-architecture={architecture}")];
        options.extend(definitions.iter().map(|(name, value)| format!("-D{name}={value}")));
        let options: Vec<CString> = options.iter().filter_map(|option| CString::new(option.as_str()).ok()).collect();
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        let mut program = null_mut();
        let failed = |code: c_int, what: &str| Error::internal(format!("NVRTC: {what} ({code})"));
        // SAFETY: strings end with zeros and, like the variables, outlive the calls; buffers are as long as NVRTC says; the
        // program is used between its creation and its end.
        unsafe {
            match (self.nvrtcCreateProgram)(&mut program, source.as_ptr(), c"upsample.cu".as_ptr(), 0, null(), null()) {
                0 => {}
                code => return Err(failed(code, "a program cannot be created")),
            }
            let code = (self.nvrtcCompileProgram)(program, options.len() as c_int, options.as_ptr());
            let answer = match code {
                0 => Self::answer(program, self.nvrtcGetCUBINSize, self.nvrtcGetCUBIN)
                    .map_err(|code| failed(code, "there is no compiled code")),
                code => {
                    let log = Self::answer(program, self.nvrtcGetProgramLogSize, self.nvrtcGetProgramLog);
                    let log = String::from_utf8_lossy(&log.unwrap_or_default()).trim_end_matches('\0').to_owned();
                    Err(failed(code, &format!("the kernels cannot be compiled: {log}")))
                }
            };
            (self.nvrtcDestroyProgram)(&mut program);
            answer
        }
    }

    /// # Safety
    /// `program` is NVRTC's, `size` says how many bytes `fill` writes.
    unsafe fn answer(
        program: Handle,
        size: unsafe extern "C" fn(Handle, *mut usize) -> c_int,
        fill: unsafe extern "C" fn(Handle, *mut u8) -> c_int,
    ) -> Result<Vec<u8>, c_int> {
        let mut length = 0;
        // SAFETY: the caller says so.
        unsafe {
            match size(program, &mut length) {
                0 => {}
                code => return Err(code),
            }
            let mut bytes = vec![0u8; length];
            match fill(program, bytes.as_mut_ptr()) {
                0 => Ok(bytes),
                code => Err(code),
            }
        }
    }
}

/// Kernels compiled for a card.
#[derive(Debug)]
pub struct Program<const COUNT: usize> {
    card: Arc<Card>,
    kernels: [Handle; COUNT],
}

// SAFETY: as for the card.
unsafe impl<const COUNT: usize> Send for Program<COUNT> {}
// SAFETY: as for the card; the fields are constant.
unsafe impl<const COUNT: usize> Sync for Program<COUNT> {}

impl<const COUNT: usize> Program<COUNT> {
    /// Launches a kernel after what libtorch gave the card to do before: both use the default stream.
    ///
    /// # Safety
    /// `arguments` are the kernel's own, field by field. Their pointers are to memory of the card that is as long as the kernel
    /// takes it to be and is handed to nobody but libtorch, in the order of the stream, before the kernel has ended.
    pub unsafe fn launch<A>(&self, kernel: usize, blocks: [usize; 3], arguments: &A) -> Result<()> {
        let Some(&kernel) = self.kernels.get(kernel) else { return Err(Error::internal("there is no such kernel")) };
        let [x, y, z] = blocks.map(|count| c_uint::try_from(count).unwrap_or(c_uint::MAX));
        let mut given = [std::ptr::from_ref(arguments).cast_mut().cast::<c_void>()];
        let driver = &self.card.driver;
        // SAFETY: the driver copies the arguments before it returns; the rest is what the caller says.
        self.card.within(|| unsafe {
            let stream = null_mut();
            let code =
                (driver.cuLaunchKernel)(kernel, x, y, z, THREADS, 1, 1, 0, stream, given.as_mut_ptr(), null_mut());
            driver.check(code, "a kernel cannot be launched")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns NVRTC of CUDA 13 or 12 where its library is on LD_LIBRARY_PATH.
    fn nvrtc() -> Option<(Library, Compiler)> {
        let open = |name: &str| {
            // SAFETY: NVRTC's initialisers, and functions with the types of its header, used while it is open.
            unsafe {
                let library = Library::open(Some(name), RTLD_NOW | RTLD_LOCAL).ok()?;
                let compiler = Compiler::of(&library).ok()?;
                Some((library, compiler))
            }
        };
        ["libnvrtc.so.13", "libnvrtc.so.12"].into_iter().find_map(open)
    }

    #[test]
    fn kernels_compile_for_cards_from_turing_on() {
        let Some((_library, compiler)) = nvrtc() else {
            segearth_testing::skipped("no NVRTC");
            return;
        };
        let source = CString::new(include_str!("upsample.cu")).unwrap();
        for architecture in ["sm_75", "sm_80", "sm_90", "sm_120"] {
            for (radius, number) in [(5, 32), (5, 16), (3, 16), (1, 32)] {
                let definitions = [("RADIUS", radius), ("KEYS", 32), ("NUMBER", number)];
                let code = compiler.compile(&source, architecture, &definitions).unwrap();
                assert!(code.starts_with(b"\x7fELF"), "{architecture}, {definitions:?}");
            }
        }
        assert!(compiler.compile(&source, "sm_1", &[]).is_err());
    }
}
