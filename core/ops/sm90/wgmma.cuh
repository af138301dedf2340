// Matrix products of a warpgroup (wgmma): 64 rows, 16 deep, operands in shared memory, sums in
// registers.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>
#include <type_traits>

namespace moiety::ops::sm90 {

/// How an operand lies in shared memory, in boxes of 64 elements (128 bytes) a row with their
/// 16-byte pieces permuted in each 8 rows (128-byte swizzle).
enum class Major : uint8_t {
  kDepth,  // a row holds 128 bytes of the depth: box [rows or columns][128 bytes]
  kOuter,  // a row holds 64 of the operand's rows or columns: boxes [depth 64][64], one an 8 KiB
};

inline constexpr int kBoxWidth = 64;                  // elements of a swizzled row
inline constexpr int kBoxBytes = 64 * kBoxWidth * 2;  // 64 rows of them

/// What wgmma needs to know of the operand at `address` (PTX ISA, "Matrix Descriptor Format"), in
/// units of 16 bytes: where it starts, how far apart boxes lie, how far apart 8 rows.
__device__ inline uint64_t operand_at(uint32_t address) {
  constexpr uint64_t kBoxStride = kBoxBytes / 16, kEightRows = 1024 / 16, kSwizzle128 = 1;
  return uint64_t{(address & 0x3ffffu) >> 4} | kBoxStride << 16 | kEightRows << 32 |
         kSwizzle128 << 62;
}

/// How far 16 steps of the depth take a descriptor.
template <Major kMajor>
inline constexpr uint64_t kDepthStep = (kMajor == Major::kDepth ? 32 : 16 * 128) / 16;

/// Before the first product of a batch: registers and shared memory are as the products expect.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Returns when at most `kPending` committed batches are still running.
template <int kPending>
__device__ inline void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// The instruction names each register of the sums; a thread holds kColumns / 2 of them.
// clang-format off
#define MOIETY_NAMES_0 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MOIETY_NAMES_32 ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define MOIETY_NAMES_64 ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MOIETY_NAMES_96 ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define MOIETY_SUMS_4(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define MOIETY_SUMS_16(i) \
  MOIETY_SUMS_4(i), MOIETY_SUMS_4(i + 4), MOIETY_SUMS_4(i + 8), MOIETY_SUMS_4(i + 12)
#define MOIETY_SUMS_32(i) MOIETY_SUMS_16(i), MOIETY_SUMS_16(i + 16)
#define MOIETY_PRODUCT(columns, type, names, a, b, turn_a, turn_b, ...)                            \
  asm volatile("{\n.reg .pred add;\nsetp.eq.b32 add, 0, 0;\n"                                    \
               "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type " {" names    \
               "}, %" #a ", %" #b ", add, 1, 1, %" #turn_a ", %" #turn_b ";\n}"                    \
               : __VA_ARGS__                                                                      \
               : "l"(left), "l"(right), "n"(kTurnA), "n"(kTurnB))
#define MOIETY_PRODUCT_OF(type)                                                                   \
  if constexpr (kColumns == 64) {                                                                 \
    MOIETY_PRODUCT(64, type, MOIETY_NAMES_0, 32, 33, 34, 35, MOIETY_SUMS_32(0));              \
  } else if constexpr (kColumns == 128) {                                                         \
    MOIETY_PRODUCT(128, type, MOIETY_NAMES_0 MOIETY_NAMES_32, 64, 65, 66, 67,                     \
                   MOIETY_SUMS_32(0), MOIETY_SUMS_32(32));                                        \
  } else if constexpr (kColumns == 192) {                                                         \
    MOIETY_PRODUCT(192, type, MOIETY_NAMES_0 MOIETY_NAMES_32 MOIETY_NAMES_64, 96, 97, 98, 99,     \
                   MOIETY_SUMS_32(0), MOIETY_SUMS_32(32), MOIETY_SUMS_32(64));               \
  } else {                                                                                        \
    static_assert(kColumns == 256);                                                               \
    MOIETY_PRODUCT(256, type, MOIETY_NAMES_0 MOIETY_NAMES_32 MOIETY_NAMES_64 MOIETY_NAMES_96,     \
                   128, 129, 130, 131, MOIETY_SUMS_32(0), MOIETY_SUMS_32(32),                \
                   MOIETY_SUMS_32(64), MOIETY_SUMS_32(96));                                       \
  }
// clang-format on

/// d += left right for 64 x kColumns, 16 deep. T is __nv_bfloat16 or __half. Runs until waited for.
template <class T, int kColumns, Major kA, Major kB>
__device__ inline void multiply_add(float (&d)[kColumns / 2], uint64_t left, uint64_t right) {
  constexpr int kTurnA = kA == Major::kOuter, kTurnB = kB == Major::kOuter;
  if constexpr (std::is_same_v<T, __nv_bfloat16>) {
    MOIETY_PRODUCT_OF("bf16")
  } else {
    static_assert(std::is_same_v<T, __half>);
    MOIETY_PRODUCT_OF("f16")
  }
}

/// d = left right, or += it, for 64 x 128, 32 deep, of bytes that lie along the depth. Left is
/// __nv_fp8_e4m3 or __nv_fp8_e5m2, right e4m3. Runs until waited for.
template <class Left>
__device__ inline void multiply_bytes(float (&d)[64], uint64_t left, uint64_t right, bool add) {
// clang-format off
#define MOIETY_PRODUCT_OF_BYTES(type)                                                             \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %66, 0;\n"                                  \
               "wgmma.mma_async.sync.aligned.m64n128k32.f32." type ".e4m3 {" MOIETY_NAMES_0       \
               MOIETY_NAMES_32 "}, %64, %65, add, 1, 1;\n}"                                       \
               : MOIETY_SUMS_32(0), MOIETY_SUMS_32(32)                                            \
               : "l"(left), "l"(right), "r"(static_cast<int>(add)))
  // clang-format on
  if constexpr (std::is_same_v<Left, __nv_fp8_e4m3>) {
    MOIETY_PRODUCT_OF_BYTES("e4m3");
  } else {
    static_assert(std::is_same_v<Left, __nv_fp8_e5m2>);
    MOIETY_PRODUCT_OF_BYTES("e5m2");
  }
}

#undef MOIETY_PRODUCT_OF_BYTES
#undef MOIETY_PRODUCT_OF
#undef MOIETY_PRODUCT
#undef MOIETY_SUMS_32
#undef MOIETY_SUMS_16
#undef MOIETY_SUMS_4
#undef MOIETY_NAMES_96
#undef MOIETY_NAMES_64
#undef MOIETY_NAMES_32
#undef MOIETY_NAMES_0

/// Gives registers back (producers), or takes what others gave (consumers): a count a thread.
template <int kRegisters>
__device__ inline void shrink_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ inline void grow_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace moiety::ops::sm90
