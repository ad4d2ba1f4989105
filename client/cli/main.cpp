// square: the command line of a cell.

#include "client/cli/app.hpp"

int main(int argc, char** argv) { return square::cli::run(argc, argv); }
