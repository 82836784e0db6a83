// The one place that knows which Catch2 is installed: 2.13 (Debian 12) or 3.x.
#pragma once
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp> // all of it, as the one header of 2.13 has all of it
using Catch::Approx;            // global there
#else
#include <catch2/catch.hpp>
#endif
