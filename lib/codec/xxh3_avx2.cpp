// Compiled with -mavx2 (CMakeLists.txt); called only where the processor has it.
#define SQ_XXH3_VARIANT xxh3_avx2
#include "codec/xxh3_variant.inc"
