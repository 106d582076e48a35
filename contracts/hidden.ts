/**
 * Characters by which text reads otherwise than it is: controls, what turns the direction, what takes no place, blanks
 * that are no space. Whoever shows words of an agent shows them as their codes.
 */
export const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;
