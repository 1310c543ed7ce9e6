// Angle brackets: with quotes this file would find itself.
#include <simdjson.cpp>
