#define SQ_XXH3_VARIANT xxh3_any
#include "codec/xxh3_variant.inc"
