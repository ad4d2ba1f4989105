// Apart from golden.hpp: the path would make every test differ from checkout to checkout.
#include "support/golden.hpp"

namespace square::test {

std::string golden_dir() { return SQUARE_GOLDEN_DIR; }

}  // namespace square::test
