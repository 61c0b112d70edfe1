#include "cli/commands.hpp"

int main(int argc, char** argv) { return stator::cli::run(argc, argv); }
