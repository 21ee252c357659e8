/* SPDX-License-Identifier: MIT */
/*
 * XBZRLE's encoder a byte at a time, as its definition reads: what the fast versions are held against,
 * and what benchmarks compare them with.
 */
#ifndef RS_TESTS_XBZRLE_MODEL_H
#define RS_TESTS_XBZRLE_MODEL_H

#include "codec/xbzrle.h"

rs_xbzrle_function xbzrle_model_encode;

#endif
