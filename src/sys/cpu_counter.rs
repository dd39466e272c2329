//! The processor's own counter, which a hypervisor's VMClock page relates to the time of day.
#![expect(unsafe_code, reason = "the counter is an instruction away, not a system call")]

/// The `counter_id` that the page has for this machine's counter; none where we cannot read it.
pub const ID: Option<u8> = if cfg!(target_arch = "x86_64") {
    Some(1)
} else if cfg!(target_arch = "aarch64") {
    Some(0)
} else {
    None
};

/// The clocksource by which the kernel says that it trusts this counter.
pub const CLOCKSOURCE: &str = if cfg!(target_arch = "aarch64") { "arch_sys_counter" } else { "tsc" };

/// The counter, not read before the instructions that precede it.
#[must_use]
pub fn read() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_mm_lfence, _rdtsc};
        // SAFETY: every x86_64 processor has both; prctl(PR_SET_TSC) forbids the second, and only this process itself could have set that.
        unsafe {
            _mm_lfence();
            _rdtsc()
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        let counter: u64;
        // SAFETY: it reads a register that Linux lets user space read (its vDSO does), and touches no memory.
        unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) counter, options(nostack, nomem)) };
        counter
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_goes_on() {
        let before = read();
        assert!(ID.is_none() || read() > before);
    }
}
